/** A headless Chromium on the assembled page, for the tests and for the screenshots. */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Start the Chromium that the system has, or that CHROMIUM names. */
export function launch(options = {}) {
  const executablePath = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (!executablePath) {
    throw new Error("There is no Chromium. Install Debian's package chromium, or set CHROMIUM.");
  }
  return chromium.launch({ executablePath, ...options });
}

/**
 * Open the page in a window and wait until it has answered about its example, if it has one.
 *
 * @param window `width`, `height`, and what else a Playwright context takes.
 * @returns the page, and `complaints`: errors, on the console and elsewhere.
 */
export async function open(browser, url, { width, height, ...options }) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
  await page.addInitScript(() => {
    globalThis.ready = new Promise((resolve) => {
      document.addEventListener("ready", resolve, { once: true });
    });
  });
  await page.goto(url);
  await page.evaluate(() => globalThis.ready.then(() => {}));
  return { page, complaints };
}
