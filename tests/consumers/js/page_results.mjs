// What the page shows.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { bytes, compareMasks } from "./python_results.mjs";

/** The page shows Python's answers, and its result is Python's. */
export async function compareShown(page, result, pair) {
  const shown = (answer) => answer || "(nothing)";
  assert.equal(await page.textContent("#plain"), shown(pair.plain_answer));
  assert.equal(await page.textContent("#answer"), shown(pair.answer));
  assert.deepEqual(result.ids, pair.ids);
  assert.deepEqual(result.plainIds, pair.plain_ids);
  assert.deepEqual(result.bbox, pair.bbox);
  const digest = createHash("sha256").update(bytes(pair.refined)).digest();
  assert.deepEqual(result.refined, Array.from(digest));
  compareMasks(result.mask, pair.mask);
}
