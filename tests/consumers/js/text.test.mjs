/** Texts to ids and back, as tokenizers does it: CARVE_TEXTS names test_text.py's file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Text } from "../../../runtime/js/src/text.js";

const { tables, tokens, answers } = JSON.parse(readFileSync(process.env.CARVE_TEXTS));
const open = (path, control = []) => new Text(JSON.parse(readFileSync(path)), control);

/** What each id completes, and what is left at the end; joined it is what decode returns. */
function pieces(text, ids) {
  const streamer = text.streamer();
  const parts = [...ids.map((id) => streamer.push(id)), streamer.end()];
  assert.equal(parts.join(""), text.decode(ids));
  return parts;
}

for (const { name, path, image_token: image, texts, ids, decoded } of tables) {
  test(`${name}: ids`, () => {
    const text = open(path, [image]);
    texts.forEach((each, index) => {
      if (ids[index]) assert.deepEqual(text.encode(each), ids[index], JSON.stringify(each));
      else assert.throws(() => text.encode(each), { code: "prompt" }, JSON.stringify(each));
    });
  });

  test(`${name}: text`, () => {
    const text = open(path, [image]);
    ids.forEach((each, index) => {
      if (each) assert.equal(pieces(text, each).join(""), decoded[index]);
    });
  });
}

test("every token alone", () => {
  for (const { path, decoded } of tokens) {
    const text = open(path);
    for (const [id, expected] of decoded) assert.equal(text.decode([id]), expected);
  }
});

test("answers piece by piece", () => {
  for (const { path, rows } of answers) {
    const text = open(path);
    for (const { name, ids, pieces: expected, exact } of rows) {
      const parts = pieces(text, ids);
      if (exact) assert.deepEqual(parts, expected, name);
      assert.equal(parts.join(""), expected.join(""), name);
    }
  }
});

test("a decoder that does not decode token by token is refused", () => {
  const document = JSON.parse(readFileSync(tables[0].path));
  for (const decoder of [null, { type: "WordPiece" }, { type: "Strip", content: "a" }]) {
    assert.throws(() => new Text({ ...document, decoder }, []), {
      code: "bundle",
      message: /^The decoder of tokenizer\.json /,
    });
  }
});
