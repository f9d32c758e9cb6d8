/** `npm run screenshots`: pictures of the page for the documentation, wide and narrow. */
import { join } from "node:path";

import { launch, open } from "./browser.js";
import { address, serve } from "./serve.js";
import { assemble, SITE } from "./site.js";

const FOLDER = join(import.meta.dirname, "../../../docs/images");
const WINDOWS = {
  wide: { width: 1280, height: 1024 },
  narrow: { width: 390, height: 844, deviceScaleFactor: 1.5, isMobile: true, hasTouch: true },
};
const SETTLED = 1000; // ms, longer than any transition

await assemble();
const server = await serve(SITE);
const browser = await launch();
for (const [name, window] of Object.entries(WINDOWS)) {
  const { page } = await open(browser, address(server), { ...window, colorScheme: "dark" });
  await page.waitForTimeout(SETTLED);
  const path = join(FOLDER, `page-${name}.jpg`);
  await page.screenshot({ path, fullPage: true, type: "jpeg", quality: 88 });
  console.log(path);
}
await browser.close();
server.close();
