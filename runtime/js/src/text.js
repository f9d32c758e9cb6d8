/** Prompts to token ids and back, with the bundle's tokenizer. */
import { Tokenizer } from "@huggingface/tokenizers";

import { Streamer, stripped, tokenDecoder } from "./answer.js";
import { FEATURE } from "./bundle_format.js";
import { CarveError, ensure } from "./errors.js";
import { questionTokenizer } from "./tokenizer_json.js";

const CONFIG = { clean_up_tokenization_spaces: false };

export class Text {
  #encoder;
  #bytes;
  #silent;
  #special;
  #added;

  /** Read a parsed tokenizer.json; `controlIds` are special whatever it says of them. */
  constructor(document, controlIds) {
    try {
      const added = document.added_tokens ?? [];
      this.#added = new Map(added.map(({ id, content }) => [id, content]));
      const special = added.filter((token) => token.special).map((token) => token.id);
      this.#silent = new Set([...special, ...controlIds]);
      this.#encoder = new Tokenizer(questionTokenizer(document, this.#silent), CONFIG);
      this.#bytes = tokenDecoder(document.decoder);
      const unknown = document.model?.unk_token;
      const unknownId = added.find((token) => token.content === unknown)?.id;
      this.#special = new Set([...this.#silent].filter((id) => id !== unknownId));
    } catch (error) {
      if (error instanceof CarveError) throw error;
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
    const streamer = this.streamer();
    return ids.map((id) => streamer.push(id)).join("") + streamer.end();
  }

  /** Return a Streamer: its `push(id)` and `end()` return what decode returns, piece by piece. */
  streamer() {
    return new Streamer((id) => this.#tokenBytes(id));
  }

  /**
   * Return each token's own text, special ones as they are spelled; "" for FEATURE, and U+FFFD where
   * a token is a part of a character.
   */
  words(ids) {
    const spelled = (id) => this.#special.has(id) && this.#spelling(id);
    const own = (id) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.#tokenBytes(id));
    return ids.map((id) => (id === FEATURE ? "" : spelled(id) || own(id)));
  }

  /** What the encoder does not know of: special tokens are characters to it. */
  #spelling(id) {
    return this.#added.get(id) ?? this.#encoder.id_to_token(id);
  }

  #tokenBytes(id) {
    const token = this.#silent.has(id) ? undefined : this.#encoder.id_to_token(id);
    return token === undefined ? new Uint8Array() : this.#bytes(token);
  }
}

/** Return what every pass sends: the question, a space and the bundle's suffix, if it has one. */
export function questionText(question, prompts) {
  ensure(typeof question === "string", "prompt", "The question is not a text. Pass a string.");
  ensure(question.isWellFormed?.() ?? true, "prompt", "The question is not valid Unicode text.");
  ensure(stripped(question), "prompt", "The question is empty. Ask something about the image.");
  return prompts.suffix ? `${question} ${prompts.suffix}` : question;
}
