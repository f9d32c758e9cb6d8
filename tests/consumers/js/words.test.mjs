// The page, word by word, in headless Chromium: Python's words, and where they were looked for.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, open } from "../../../runtime/js/tools/browser.js";
import { address, serve } from "../../../runtime/js/tools/serve.js";
import { assemble } from "../../../runtime/js/tools/site.js";
import { nextResult } from "./shared.mjs";

const attended = process.env.CARVE_ATTENDED;
const [{ bundle, image, text, fields, arrays }] = JSON.parse(
  readFileSync(join(attended, "attended.json")),
).cases;
const rows = new Float32Array(new Uint8Array(readFileSync(join(attended, arrays.rows))).buffer);
const AXE = createRequire(new URL("../../../runtime/js/package.json", import.meta.url)).resolve(
  "axe-core",
);

const ALMOST = 0.9;

const folder = mkdtempSync(join(tmpdir(), "carve-site-"));
let server;
let browser;
let page;
let complaints;
before(async () => {
  await assemble(bundle, folder);
  server = await serve(folder);
  browser = await launch();
  ({ page, complaints } = await open(browser, address(server), { width: 1280, height: 900 }));
  await page.fill("#question", text);
  await nextResult(page, () => page.setInputFiles("#file", image));
});
after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

const words = () => page.locator("#words button");

/** Where Python's map of a step and layer is brightest: the index of the token. */
function expected(step, layer) {
  const start = (step * fields.layers.length + layer) * fields.ids.length;
  const map = fields.mapTokens.map((position) => rows[start + position]);
  return map.indexOf(Math.max(...map));
}

/** How bright the large picture is against the picture itself, for each token of the map. */
const heat = () =>
  page.evaluate(([count, across]) => {
    const [shown, picture] = ["#large", ".view canvas"].map((selector) => {
      const canvas = document.querySelector(selector);
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    });
    const { width, height } = shown;
    const light = ({ data }, at) => data[at] + data[at + 1] + data[at + 2];
    return Array.from({ length: count * across }, (_, index) => {
      const x = Math.floor(((index % across) + 0.5) * (width / across));
      const y = Math.floor((Math.floor(index / across) + 0.5) * (height / count));
      const at = 4 * (y * width + x);
      return light(shown, at) - 0.35 * light(picture, at);
    });
  }, fields.grid);

test("from the keyboard: each word and layer shows where it was looked for", async () => {
  await page.focus("#words summary");
  await page.keyboard.press("Enter");
  await words().first().waitFor();
  assert.deepEqual(await words().allTextContents(), fields.words);
  for (const [index, layer] of fields.layers.entries()) {
    await page.focus("#words input");
    await page.keyboard.press("Home");
    for (let moves = 0; moves < index; moves++) await page.keyboard.press("ArrowRight");
    assert.equal(await page.textContent("#words output"), String(layer));
    for (const step of fields.words.keys()) {
      await words().nth(step).focus();
      assert.equal(await words().nth(step).getAttribute("aria-pressed"), "true");
      const label = `layer ${layer} looks to say “${fields.words[step]}”`;
      assert.ok((await page.getAttribute("#large", "aria-label")).endsWith(label));
      const shown = await heat(); // the browser smooths: a peak may pass into another as bright
      assert.ok(shown[expected(step, index)] > ALMOST * Math.max(...shown), label);
    }
  }
});

test("the same by pointing; accessible", async () => {
  await words().first().hover();
  assert.equal(await words().first().getAttribute("aria-pressed"), "true");
  await page.evaluate(readFileSync(AXE, "utf8")); // no script tag: the policy forbids it
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(
    violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]),
    [],
  );
});

test("another question has its own words; a step of the method is shown again", async () => {
  const { answer } = await nextResult(page, async () => {
    await page.fill("#question", "What letter is on the blue cross?");
    await page.keyboard.press("Enter");
  });
  assert.ok(answer);
  await words().first().waitFor();
  const said = (await words().allTextContents()).slice(0, -1).join("").trim();
  assert.equal(said, await page.textContent("#plain"));
  await page.click(".view:has([value=mask])");
  await page.waitForFunction(() =>
    document.querySelector("#large").getAttribute("aria-label").includes("regions that are kept"),
  );
  assert.ok(!(await page.locator("#words").evaluate((details) => details.open)));
  assert.deepEqual(complaints, []);
});
