// What several tests share: the default bundle, what it is asked, how a refusal looks, and the page's results.
import assert from "node:assert/strict";
import { join } from "node:path";

import { CarveError } from "../../../runtime/js/src/index.js";

export const POCKET = join(import.meta.dirname, "../../../models/pocket");
export const PICTURE = join(POCKET, "example.jpg");
export const QUESTION = "What word is on the purple square?";

/** A check for `assert.rejects`: a CarveError with that code, whose message matches. */
export const refused = (code, message) => (error) => {
  assert.ok(error instanceof CarveError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

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
