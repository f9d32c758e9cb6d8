// What Python made of the pairs: CARVE_PAIRS is the folder that tests/consumers/test_js.py writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.CARVE_PAIRS;
assert.ok(folder, "set CARVE_PAIRS to the folder that tests/consumers/test_js.py writes");
export const { bundle, pairs, texts } = JSON.parse(readFileSync(join(folder, "pairs.json")));

export const bytes = (name) => new Uint8Array(readFileSync(join(folder, name)));
export const floats = (name) => new Float64Array(bytes(name).buffer);

const IOU = 0.99;

/** The same mask, but for a hundredth of it. */
export function compareMasks(found, name) {
  const wanted = bytes(name);
  assert.equal(found.length, wanted.length);
  let both = 0;
  let either = 0;
  for (let i = 0; i < wanted.length; i++) {
    both += found[i] & wanted[i];
    either += found[i] | wanted[i];
  }
  assert.ok(both / either >= IOU, `masks: ${both} / ${either}`);
  return both / either;
}
