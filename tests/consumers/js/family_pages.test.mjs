// The page with a bundle of each family, in headless Chromium: Python's answer about a picture.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, open } from "../../../runtime/js/tools/browser.js";
import { address, serve } from "../../../runtime/js/tools/serve.js";
import { assemble } from "../../../runtime/js/tools/site.js";
import { compareShown } from "./page_results.mjs";
import { pairs } from "./python_results.mjs";
import { nextResult } from "./shared.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const pair of pairs.filter(({ changes }) => !Object.keys(changes).length)) {
  test(pair.bundle.split("/").at(-1), async () => {
    const folder = mkdtempSync(join(tmpdir(), "carve-site-"));
    await assemble(pair.bundle, folder);
    const server = await serve(folder);
    try {
      const window = { width: 1000, height: 800 };
      const { page, complaints } = await open(browser, address(server), window);
      await page.fill("#question", pair.question);
      const result = await nextResult(page, () => page.setInputFiles("#file", pair.path));
      await compareShown(page, result, pair);
      assert.deepEqual(complaints, []);
      await page.context().close();
    } finally {
      server.close();
      rmSync(folder, { recursive: true });
    }
  });
}
