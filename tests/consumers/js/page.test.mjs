// The page in headless Chromium: Python's answers to the pairs, and what else a visitor does.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, open } from "../../../runtime/js/tools/browser.js";
import { address, serve } from "../../../runtime/js/tools/serve.js";
import { assemble } from "../../../runtime/js/tools/site.js";
import { bundle, bytes, compareMasks, pairs } from "./python_results.mjs";

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 320, height: 640, hasTouch: true, isMobile: true };
const AXE = createRequire(new URL("../../../runtime/js/package.json", import.meta.url)).resolve("axe-core");

const folder = mkdtempSync(join(tmpdir(), "carve-site-"));
let server;
let browser;
let page;
let complaints;
let example; // the answers about the bundle's picture

before(async () => {
  await assemble(bundle, folder);
  server = await serve(folder);
  browser = await launch();
  ({ page, complaints } = await open(browser, address(server), WIDE));
  example = [await page.textContent("#plain"), await page.textContent("#answer")];
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

/** Do something and wait for the page's next result. */
async function resultOf(action, event = "carve", where = page) {
  const next = where.evaluate(
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

const sha256 = (data) => Array.from(createHash("sha256").update(data).digest());

// A difference between masks is too long to print.
const same = (left, right) => assert.ok(Buffer.from(left).equals(Buffer.from(right)), "masks");

const unchanged = pairs.filter(
  (pair) => pair.bundle === bundle && !Object.keys(pair.changes).length,
);

for (const pair of unchanged) {
  test(`${pair.name}: ${pair.question}`, async () => {
    await page.fill("#question", pair.question);
    const result = await resultOf(() => page.setInputFiles("#file", pair.path));
    assert.equal(await page.textContent("#plain"), pair.plain_answer || "(nothing)");
    assert.equal(await page.textContent("#answer"), pair.answer || "(nothing)");
    assert.deepEqual(result.ids, pair.ids);
    assert.deepEqual(result.plainIds, pair.plain_ids);
    assert.deepEqual(result.bbox, pair.bbox);
    assert.deepEqual(result.refined, sha256(bytes(pair.refined)));
    compareMasks(result.mask, pair.mask);
  });
}

test("the mask follows the keyboard, then the answer does", async () => {
  const [pair] = unchanged;
  await page.fill("#question", pair.question);
  const first = await resultOf(() => page.setInputFiles("#file", pair.path));
  await page.focus("#share");
  const again = resultOf(() => {}); // half a second after the last change
  const wider = await resultOf(() => page.keyboard.press("End"), "carve-refined");
  assert.equal(wider.settings.maskTopP, 1);
  assert.ok(wider.mask.every(Boolean));
  assert.equal(await page.getAttribute("#share", "aria-valuetext"), "100 %");
  const answered = await again;
  same(answered.mask, wider.mask);
  const reset = await resultOf(() => page.click("[type=reset]"), "carve-refined");
  same(reset.mask, first.mask);
  await resultOf(() => {});
});

test("every setting changes what is computed", async () => {
  const before = await resultOf(() => page.click("[type=reset]"), "carve-refined");
  for (const [label, name, value] of [
    ["#layers label:last-of-type", "layers", [1, 3]],
    ["#steps label:last-of-type", "steps", "last"],
  ]) {
    const moved = await resultOf(() => page.click(label), "carve-refined");
    assert.deepEqual(moved.settings[name], value);
    assert.ok(!Buffer.from(moved.mask).equals(Buffer.from(before.mask)), `${name}: the same mask`);
  }
  await resultOf(() => page.click("[type=reset]"));
});

test("a question from the keyboard alone", async () => {
  const { page } = await open(browser, address(server), WIDE);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("What letter is on the blue cross?");
  const { answer } = await resultOf(() => page.keyboard.press("Enter"), "carve", page);
  assert.equal(await page.textContent("#answer"), answer);
  await page.focus("[name=view]:checked");
  const shown = () => page.getAttribute("#large", "aria-label");
  const before = await shown();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await shown(), before);
  await page.context().close();
});

test("a file that is not a picture, and then a picture", async () => {
  const noise = { name: "noise.png", mimeType: "image/png", buffer: Buffer.from("no picture") };
  await page.setInputFiles("#file", noise);
  await page.waitForSelector("#error:not([hidden])");
  assert.match(await page.textContent("#error"), /not a picture .* Choose another/);
  await resultOf(() => page.setInputFiles("#file", unchanged[0].path));
  assert.ok(await page.isHidden("#error"));
});

test("a picture that is dropped, large and half transparent", async () => {
  await page.fill("#question", "What is this?");
  const result = await resultOf(() =>
    page.evaluate(async () => {
      const canvas = new OffscreenCanvas(2400, 1600);
      canvas.getContext("2d").fillRect(300, 300, 900, 900);
      const file = new File([await canvas.convertToBlob()], "square.png", { type: "image/png" });
      const data = new DataTransfer();
      data.items.add(file);
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }),
  );
  assert.ok(result.mask.length <= 2 ** 20);
  assert.match(await page.textContent("#status"), /reduced to \d+ × \d+/);
});

for (const [name, window] of Object.entries({ wide: WIDE, narrow: NARROW })) {
  test(`accessible, and as wide as the ${name} window`, async () => {
    const { page, complaints } = await open(browser, address(server), window);
    await page.addScriptTag({ path: AXE });
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), window.width);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
}

test("the server has files of its folder, and nothing else", async () => {
  for (const path of ["nosuch", "ort", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc/passwd", "%E0%A4%A"]) {
    assert.equal((await fetch(address(server) + path)).status, 404, path);
  }
  assert.equal((await fetch(address(server))).status, 200);
});

test("WebGPU, on a software adapter", async () => {
  const args = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
  const swiftshader = await launch({ args: [...args, "--enable-features=Vulkan"] });
  const { page, complaints } = await open(swiftshader, `${address(server)}?device=webgpu`, WIDE);
  assert.equal(await page.inputValue("#device select"), "webgpu");
  assert.ok(await page.isVisible("#device"));
  const answers = [await page.textContent("#plain"), await page.textContent("#answer")];
  assert.deepEqual(answers, example);
  assert.deepEqual(complaints, []);
  await swiftshader.close();
});

test("the console stayed empty", () => assert.deepEqual(complaints, []));
