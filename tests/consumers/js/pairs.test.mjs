// Python's answers to the pairs, from Node.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { loadFolder } from "../../../runtime/js/src/node.js";
import { bundle, bytes, compare, compareRefinement, pairs } from "./python_results.mjs";

const models = new Map(); // by bundle
before(async () => {
  for (const folder of new Set(pairs.map((pair) => pair.bundle))) {
    models.set(folder, await loadFolder(folder));
  }
});
after(async () => {
  for (const vlm of models.values()) await vlm.release();
});

const imageOf = ({ image, size: [width, height] }) => ({ data: bytes(image), width, height });

for (const pair of pairs) {
  test(`${pair.name}: ${pair.question} ${JSON.stringify(pair.changes)}`, async () => {
    compare(await models.get(pair.bundle).ask(imageOf(pair), pair.question, pair.changes), pair);
  });
}

test("attention that is kept gives other masks without the model", async () => {
  const changed = pairs.find(({ changes }) => changes.maskTopP);
  const session = await models.get(changed.bundle).open(imageOf(changed));
  const result = await session.ask(changed.question);
  compareRefinement(await session.refineAgain(result, changed.changes), changed);
});

test("RGBA is RGB where it is opaque, and calls may overlap", async () => {
  const [pair] = pairs;
  const rgb = bytes(pair.image);
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length; i++) data[Math.floor(i / 3) * 4 + (i % 3)] = rgb[i];
  const session = await models.get(bundle).open({ ...imageOf(pair), data });
  const [result, plain] = await Promise.all([
    session.ask(pair.question),
    session.plain(pair.question),
  ]);
  compare(result, pair);
  assert.equal(plain.answer, pair.plain_answer);
});
