/**
 * What @huggingface/tokenizers reads otherwise than tokenizers, written so that both read the same.
 *
 * Left is `fuse_unk`: it makes a token of each unknown character, not of each stretch of them, where
 * a vocabulary lacks bytes to fall back to.
 */
import { ALPHABET } from "./answer.js";

const SPACE_SIGN = "\u2581";
const GPT2 =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Return what encodes a question as tokenizers does; tokens of the ids `silent` are characters. */
export function questionTokenizer(document, silent) {
  const { added_tokens: added, pre_tokenizer: splitter, model } = document;
  const steps = splitter ? parts(splitter).flatMap((part) => STEPS[part.type]?.(part) ?? part) : [];
  if (splitter) steps.push(...withoutUnknown(model));
  return {
    ...document,
    // "</s>" in a question is five characters: the encoder knows no special token.
    added_tokens: (added ?? []).filter((token) => !silent.has(token.id)),
    pre_tokenizer: splitter ? { type: "Sequence", pretokenizers: steps } : null,
    post_processor: null,
  };
}

const STEPS = {
  /** Its numbers are all of Unicode's, not ASCII's alone. */
  Digits: ({ individual_digits: apart }) => [split(apart ? "\\p{N}" : "\\p{N}+")],

  /** Its white space is Unicode's, not JavaScript's. */
  ByteLevel: (part) =>
    (part.use_regex ?? true) ? [split(GPT2), { ...part, use_regex: false }] : [part],

  /** It splits, and text is encoded in parts that follow other tokens: none of them is the first. */
  Metaspace(part) {
    const scheme = part.prepend_scheme === "first" ? "never" : part.prepend_scheme;
    const whole = { ...part, prepend_scheme: scheme };
    const sign = part.replacement ?? SPACE_SIGN;
    return part.split === false ? [whole] : [whole, split(`${sign}[^${sign}]*|[^${sign}]+`)];
  },
};

/** Characters that byte-level vocabularies lack are dropped before neighbours merge, not after. */
function withoutUnknown({ vocab, unk_token: unknown, byte_fallback: fallsBack }) {
  const lacking = [...ALPHABET.keys()].filter((character) => !Object.hasOwn(vocab, character));
  if (unknown || fallsBack || lacking.length === 0 || lacking.length === ALPHABET.size) return [];
  const codes = lacking.map((character) => `\\x{${character.codePointAt(0).toString(16)}}`);
  return [{ type: "Replace", pattern: { Regex: `[${codes.join("")}]` }, content: "" }];
}

function split(Regex) {
  return { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
}

function parts(document) {
  return document.type === "Sequence" ? document.pretokenizers.flatMap(parts) : [document];
}
