// Python's results: CARVE_PAIRS is the folder that tests/consumers/test_js.py writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.CARVE_PAIRS;
assert.ok(folder, "set CARVE_PAIRS to the folder that tests/consumers/test_js.py writes");
export const { bundle, pairs } = JSON.parse(readFileSync(join(folder, "pairs.json")));

export const bytes = (name) => new Uint8Array(readFileSync(join(folder, name)));
export const floats = (name) => new Float64Array(bytes(name).buffer);

const IOU = 0.99;

/** The same mask, except for a hundredth of its pixels. */
export function compareMasks(actual, name) {
  const expected = bytes(name);
  assert.equal(actual.length, expected.length);
  let both = 0;
  let either = 0;
  for (let i = 0; i < expected.length; i++) {
    both += actual[i] & expected[i];
    either += actual[i] | expected[i];
  }
  assert.ok(both / either >= IOU, `masks: ${both} / ${either}`);
}

/** The same saliency, up to a relative difference; NaN where Python's is, and nowhere else. */
export function compareSaliency(actual, name, relative) {
  const expected = floats(name);
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < expected.length; i++) {
    const close = Number.isNaN(expected[i])
      ? Number.isNaN(actual[i])
      : Math.abs(actual[i] - expected[i]) <= relative * Math.abs(expected[i]);
    assert.ok(close, `saliency ${i}: ${actual[i]}, expected ${expected[i]}`);
  }
}
