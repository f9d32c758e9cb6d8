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
const SMALL = { width: 1000, height: 640 };
const SETTLED = 1000; // ms, longer than any transition

async function shoot(page, name, options) {
  const path = join(FOLDER, `${name}.jpg`);
  await page.screenshot({ path, type: "jpeg", quality: 88, ...options });
  console.log(path);
}

/** Point at the first word of an answer. */
async function wordByWord() {
  const { page } = await open(browser, address(server), { ...SMALL, colorScheme: "light" });
  await page.click("#words summary");
  await page.locator("#words button").first().focus();
  await page.waitForTimeout(SETTLED);
  await shoot(page, "page-words");
}

await assemble();
const server = await serve(SITE);
const browser = await launch();
for (const [name, window] of Object.entries(WINDOWS)) {
  const { page } = await open(browser, address(server), { ...window, colorScheme: "dark" });
  await page.waitForTimeout(SETTLED);
  await shoot(page, `page-${name}`, { fullPage: true });
}
await wordByWord();
await browser.close();
server.close();
