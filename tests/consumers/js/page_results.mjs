// What the page's events tell, and what it shows.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { bytes, compareMasks } from "./python_results.mjs";

/** Do something and wait for the page's next result. */
export async function nextResult(page, action, event = "carve") {
  const next = page.evaluate(
    (name) =>
      new Promise((resolve) => {
        document.addEventListener(
          name,
          async ({ detail }) => {
            const { answer, ids, plainIds, bbox, settings, refinedImage } = detail;
            const digest = await crypto.subtle.digest("SHA-256", refinedImage.data);
            const refined = Array.from(new Uint8Array(digest));
            resolve({ answer, ids, plainIds, bbox, settings, refined, mask: detail.mask.join("") });
          },
          { once: true },
        );
      }),
    event,
  );
  await action();
  const { mask, ...result } = await next;
  return { ...result, mask: Uint8Array.from(mask) };
}

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
