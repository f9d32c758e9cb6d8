// Python's answers to the pairs, from Node.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { loadFolder } from "../../../runtime/js/src/node.js";
import { bundle, bytes, compareMasks, floats, pairs, texts } from "./wanted.mjs";

const RELATIVE = 1e-4;

let vlm;
before(async () => (vlm = await loadFolder(bundle)));
after(() => vlm.release());

function compare(result, wanted) {
  assert.equal(result.answer, wanted.answer);
  assert.equal(result.plainAnswer, wanted.plain_answer);
  assert.deepEqual(result.ids, wanted.ids);
  assert.deepEqual(result.plainIds, wanted.plain_ids);
  compareRefinement(result, wanted);
}

function compareRefinement(result, wanted) {
  compareMasks(result.mask, wanted.mask);
  floats(wanted.saliency).forEach((value, i) => {
    const found = result.saliency[i];
    const close = Math.abs(found - value) <= RELATIVE * Math.abs(value);
    assert.ok(close || (Number.isNaN(found) && Number.isNaN(value)), `saliency ${i}`);
  });
  assert.deepEqual(result.bbox, wanted.bbox);
  const { data, width, height } = result.refinedImage;
  assert.deepEqual([width, height], wanted.refined_size);
  assert.ok(Buffer.from(data).equals(Buffer.from(bytes(wanted.refined))), "refined image");
}

for (const pair of pairs) {
  test(`${pair.name}: ${pair.question} ${JSON.stringify(pair.changes)}`, async () => {
    const image = { data: bytes(pair.image), width: pair.size[0], height: pair.size[1] };
    compare(await vlm.ask(image, pair.question, pair.changes), pair);
  });
}

test("attention that is kept gives other masks without the model", async () => {
  const [first] = pairs;
  const other = pairs.find(({ changes }) => changes.maskTopP);
  const image = { data: bytes(other.image), width: other.size[0], height: other.size[1] };
  const session = await vlm.open(image);
  const result = await session.ask(other.question, first.changes);
  compareRefinement(await session.refineAgain(result, other.changes), other);
});

test("RGBA is RGB where it is opaque, and calls may overlap", async () => {
  const [pair] = pairs;
  const rgb = bytes(pair.image);
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length; i++) data[Math.floor(i / 3) * 4 + (i % 3)] = rgb[i];
  const session = await vlm.open({ data, width: pair.size[0], height: pair.size[1] });
  const [result, plain] = await Promise.all([
    session.ask(pair.question),
    session.plain(pair.question),
  ]);
  compare(result, pair);
  assert.equal(plain.answer, pair.plain_answer);
});

test("text has Python's ids", async () => {
  const { Text } = await import("../../../runtime/js/src/text.js");
  const text = new Text(JSON.parse(readFileSync(join(bundle, "tokenizer.json"))), []);
  for (const { text: sent, ids } of texts) assert.deepEqual(text.encode(sent), ids, sent);
});
