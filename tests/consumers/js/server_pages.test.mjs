// The pages of `carve-run serve` in headless Chromium: computed on the server, and in the browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { launch, open } from "../../../runtime/js/tools/browser.js";

const { url, key, image, question, answer, plain } = JSON.parse(
  readFileSync(process.env.CARVE_CHAT),
);
let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

test("computed on the server, with its key", async () => {
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  await page.fill("#question", question);
  await page.click("#send");
  assert.equal(await page.textContent("#status"), "Choose a picture first.");
  await page.setInputFiles("#file", image);
  await page.waitForSelector("#picture:visible");
  await page.click("#send");
  await page.waitForSelector("#key:visible"); // it was refused
  assert.match(await page.textContent("#status"), /API key is missing/);
  await page.fill("#key", key);
  await page.click("#send");
  await page.waitForSelector("#overview:visible");
  assert.equal(await page.textContent("#answer"), answer);
  assert.equal(await page.textContent("#plain"), plain);
  assert.ok(await page.$eval("#overview", ({ naturalWidth }) => naturalWidth > 0));
  assert.deepEqual(complaints, []);
});

test("computed in the browser", async () => {
  const link = await browser.newPage();
  await link.goto(url);
  await link.waitForSelector("#browser:visible");
  const href = await link.$eval("#browser", (element) => element.href);
  const { page, complaints } = await open(browser, href, { width: 1280, height: 900 });
  assert.equal(await page.textContent("#answer"), answer);
  assert.equal(await page.textContent("#plain"), plain);
  assert.ok(await page.evaluate(() => globalThis.crossOriginIsolated));
  assert.deepEqual(complaints, []);
});
