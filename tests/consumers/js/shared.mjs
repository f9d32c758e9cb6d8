// What several tests share: the default bundle, what it is asked, and how a refusal looks.
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
