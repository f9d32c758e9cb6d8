/** The text of an answer: ids are tokens, tokens are bytes, bytes are UTF-8. */
import { CarveError } from "./errors.js";

const REPLACEMENT = "\ufffd";
// What Python's str.strip() removes; \s has U+FEFF, and lacks U+0085 and U+001C to U+001F.
const WHITE_SPACE = "[\\p{White_Space}\\x1c-\\x1f]+";
const LEADING = new RegExp(`^${WHITE_SPACE}`, "u");
const TRAILING = new RegExp(`(?<!${WHITE_SPACE.slice(0, -1)})${WHITE_SPACE}$`, "u");
const BYTE = /^<0x([0-9A-Fa-f]{2})>$/;

const utf8 = new TextEncoder();

/** The kinds of decoder, each of which adds to `decoder` what it does with a token. */
const READERS = {
  Replace(decoder, part) {
    requireApart(decoder, part);
    if (!part.pattern?.String) throw refusal("replaces what is not a plain text");
    decoder.replaced.push([part.pattern.String, part.content]);
  },
  Metaspace(decoder, part) {
    requireApart(decoder, part);
    decoder.replaced.push([part.replacement, " "]);
  },
  ByteFallback(decoder, part) {
    requireApart(decoder, part);
    Object.assign(decoder, { joined: true, encode: fallback });
  },
  ByteLevel(decoder, part) {
    requireApart(decoder, part);
    Object.assign(decoder, { joined: true, encode: spelled });
  },
  Fuse(decoder) {
    decoder.joined = true;
  },
  /** Answers are stripped of white space anyway. */
  Strip(decoder, { content }) {
    if (decoder.joined && stripped(content) === "") return;
    throw refusal("strips other things than white space around the answer");
  },
};

/** Return a function from a token to its bytes, by the decoder of a tokenizer.json. */
export function tokenDecoder(document) {
  const decoder = { replaced: [], joined: false, encode: (token) => utf8.encode(token) };
  if (!document) throw refusal("is missing");
  for (const part of parts(document)) {
    const read = Object.hasOwn(READERS, part.type) ? READERS[part.type] : null;
    if (!read) throw refusal(`has ${part.type}, which this version does not know`);
    read(decoder, part);
  }
  return (token) => {
    const replace = (text, [old, now]) => text.replaceAll(old, () => now);
    return decoder.encode(decoder.replaced.reduce(replace, token));
  };
}

/**
 * An answer's text while its ids come one by one. The pieces joined are what Text.decode returns:
 * UTF-8 with one U+FFFD for what is none and for U+0000, without white space around it. What is not
 * complete waits: the first bytes of a character, and white space that may be the end.
 */
export class Streamer {
  #toBytes;
  #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #whiteSpace = "";
  #begun = false;

  /** @param toBytes from an id to its token's bytes. */
  constructor(toBytes) {
    this.#toBytes = toBytes;
  }

  /** Take an id and return what is complete, "" if nothing is. */
  push(id) {
    return this.#complete(this.#utf8.decode(this.#toBytes(id), { stream: true }));
  }

  /** Return what remains: U+FFFD for a character that is not complete. */
  end() {
    return this.#complete(this.#utf8.decode());
  }

  #complete(decoded) {
    let text = this.#whiteSpace + decoded.replaceAll("\0", REPLACEMENT);
    if (!this.#begun) text = text.replace(LEADING, "");
    const complete = text.replace(TRAILING, "");
    this.#begun ||= complete !== "";
    this.#whiteSpace = text.slice(complete.length);
    return complete;
  }
}

/** Return a text without white space around it, as Python's str.strip() does. */
export function stripped(text) {
  return text.replace(LEADING, "").replace(TRAILING, "");
}

function* parts(document) {
  if (document.type !== "Sequence") yield document;
  else for (const part of document.decoders) yield* parts(part);
}

function fallback(token) {
  const byte = BYTE.exec(token);
  return byte ? Uint8Array.of(parseInt(byte[1], 16)) : utf8.encode(token);
}

/** The byte of each character that byte-level tokenizers write, as GPT-2 does. */
export const ALPHABET = new Map();
for (let byte = 0, hidden = 0x100; byte < 0x100; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  ALPHABET.set(String.fromCharCode(printable ? byte : hidden++), byte);
}

/** Return the bytes that a token spells; one with other characters stands for itself. */
function spelled(token) {
  const bytes = Array.from(token, (character) => ALPHABET.get(character));
  return bytes.includes(undefined) ? utf8.encode(token) : Uint8Array.from(bytes);
}

function requireApart(decoder, { type }) {
  if (decoder.joined) throw refusal(`has ${type} behind what joins the tokens`);
}

function refusal(cause) {
  return new CarveError(
    "bundle",
    `The decoder of tokenizer.json ${cause}. Use a checkpoint whose tokenizer is byte-level or ` +
      "falls back to bytes.",
  );
}
