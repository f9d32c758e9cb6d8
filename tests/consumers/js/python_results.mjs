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

/** Python's result, in all that it holds. */
export function compare(result, expected) {
  assert.equal(result.answer, expected.answer);
  assert.equal(result.plainAnswer, expected.plain_answer);
  assert.deepEqual(result.ids, expected.ids);
  assert.deepEqual(result.plainIds, expected.plain_ids);
  assert.deepEqual(result.grid, expected.grid);
  assert.equal(result.skipped, expected.skipped);
  const relative = expected.exact ? 1e-3 : 1e-2;
  compareProbabilities(result, expected);
  compareNumbers(result.plainProbability, expected.plain_probability, relative);
  compareNumbers(result.entropy, expected.entropy, relative);
  compareRefinement(result, expected);
}

/** A probability is the product over the steps, each of which half precision may change by 2 %. */
function compareProbabilities({ probability, ids }, expected) {
  const difference = Math.abs(Math.log(probability / expected.probability));
  const message = `${probability}, expected ${expected.probability}`;
  assert.ok(difference <= 2e-2 * (ids.length + 1), message);
}

function compareNumbers(actual, expected, relative) {
  if (expected === null) return assert.equal(actual, null);
  assert.ok(Math.abs(actual - expected) <= relative * expected, `${actual}, expected ${expected}`);
}

/** What lies between the passes. */
export function compareRefinement(result, expected) {
  compareMasks(result.mask, expected.mask);
  compareSaliency(result.saliency, expected.saliency, expected.exact ? 1e-4 : 1e-2);
  assert.deepEqual(result.bbox, expected.bbox);
  assert.equal(result.refinedLimited, expected.refined_limited);
  const { data, width, height } = result.refinedImage;
  assert.deepEqual([width, height], expected.refined_size);
  if (!expected.exact) return; // a mask may end a pixel earlier or later
  assert.ok(Buffer.from(data).equals(Buffer.from(bytes(expected.refined))), "refined image");
}
