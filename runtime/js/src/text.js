/** Prompts to token ids and back, with the bundle's tokenizer. */
import { Tokenizer } from "@huggingface/tokenizers";

import { CarveError, ensure } from "./errors.js";

const CONFIG = { clean_up_tokenization_spaces: false };

export class Text {
  #encoder;
  #decoder;
  #special;

  /** Read a parsed tokenizer.json; `controlIds` are special whatever it says of them. */
  constructor(document, controlIds) {
    try {
      const added = document.added_tokens ?? [];
      const plain = added.filter((token) => !token.special);
      // "</s>" in a question is five characters: the encoder knows no special token.
      this.#encoder = new Tokenizer(
        { ...withoutPrefix(document), added_tokens: plain, post_processor: null },
        CONFIG,
      );
      this.#decoder = new Tokenizer(document, CONFIG);
      const unknown = document.model?.unk_token;
      const special = added.filter((token) => token.special && token.content !== unknown);
      this.#special = new Set([...special.map((token) => token.id), ...controlIds]);
    } catch (error) {
      throw new CarveError("bundle", `tokenizer.json cannot be used: ${error.message}`, error);
    }
  }

  /** Return the ids of a text in which special tokens are plain characters. */
  encode(text) {
    const { ids } = this.#encoder.encode(text, { add_special_tokens: false });
    const control = ids.find((id) => this.#special.has(id));
    ensure(
      control === undefined && ids.every(Number.isInteger),
      "prompt",
      "The text contains what this tokenizer can only read as control. Rephrase the question.",
    );
    return ids;
  }

  /** Return the text of an answer: special tokens dropped, outer white space stripped. */
  decode(ids) {
    const kept = ids.filter((id) => !this.#special.has(id));
    return kept.length ? this.#decoder.decode(kept, { skip_special_tokens: true }).trim() : "";
  }
}

/** Text is encoded in parts that follow other tokens: none of them is the first. */
function withoutPrefix(document) {
  const splitter = document.pre_tokenizer;
  if (splitter?.type !== "Metaspace" || splitter.prepend_scheme !== "first") return document;
  return { ...document, pre_tokenizer: { ...splitter, prepend_scheme: "never" } };
}

/** Return what every pass sends: the question, a space and the bundle's suffix, if it has one. */
export function questionText(question, prompts) {
  ensure(typeof question === "string", "prompt", "The question is not a text. Pass a string.");
  ensure(question.isWellFormed?.() ?? true, "prompt", "The question is not valid Unicode text.");
  ensure(question.trim(), "prompt", "The question is empty. Ask something about the image.");
  return prompts.suffix ? `${question} ${prompts.suffix}` : question;
}
