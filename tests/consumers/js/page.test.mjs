// The page in headless Chromium: Python's answers to the pairs, and what else a visitor does.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, open } from "../../../runtime/js/tools/browser.js";
import { address, serve } from "../../../runtime/js/tools/serve.js";
import { assemble } from "../../../runtime/js/tools/site.js";
import { compareShown } from "./page_results.mjs";
import { bundle, pairs } from "./python_results.mjs";
import { nextResult } from "./shared.mjs";

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 320, height: 640, hasTouch: true, isMobile: true };
const FIRST_LOAD = 12e6; // bytes
const AXE = createRequire(new URL("../../../runtime/js/package.json", import.meta.url)).resolve(
  "axe-core",
);

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

const resultOf = (action, event, where = page) => nextResult(where, action, event);

// A difference between masks is too long to print.
const same = (left, right) => assert.ok(Buffer.from(left).equals(Buffer.from(right)), "masks");

const unchanged = pairs.filter(
  (pair) => pair.bundle === bundle && !Object.keys(pair.changes).length,
);

for (const pair of unchanged) {
  test(`${pair.name}: ${pair.question}`, async () => {
    await page.fill("#question", pair.question);
    const result = await resultOf(() => page.setInputFiles("#file", pair.path));
    await compareShown(page, result, pair);
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
  assert.ok(await page.isHidden("#knows"));
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
  assert.ok(await page.isVisible("#knows")); // what a picture of one's own is to this model
  assert.ok(await page.isHidden("#error"));
});

test("a picture that the model refuses, a question about it, and then a picture", async () => {
  const narrow = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(900, 2);
    canvas.getContext("2d").fillRect(0, 0, 900, 2);
    return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
  });
  const file = { name: "narrow.png", mimeType: "image/png", buffer: Buffer.from(narrow) };
  await page.setInputFiles("#file", file);
  await page.waitForSelector("#error:not([hidden])");
  assert.match(await page.textContent("#error"), /900 x 2 pixels/);
  await page.click("#send");
  await page.waitForSelector("#error", { state: "hidden" });
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
  assert.match(await page.textContent("#status"), /reduced to \d+ × \d+ from 2400 × 1600/);
});

const windows = {
  "wide and dark": { ...WIDE, colorScheme: "dark" },
  "wide and light": { ...WIDE, colorScheme: "light" },
  narrow: NARROW,
};

for (const [name, window] of Object.entries(windows)) {
  test(`accessible, and as wide as the window: ${name}`, async () => {
    const { page, complaints } = await open(browser, address(server), window);
    await page.evaluate(readFileSync(AXE, "utf8")); // no script tag: the policy forbids it
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(
      violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]),
      [],
    );
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), window.width);
    const ground = await page.evaluate(
      () => getComputedStyle(document.documentElement).backgroundColor,
    );
    assert.equal(Number(ground.match(/\d+/)[0]) < 128, window.colorScheme === "dark", ground);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
}

test("what the first visit loads, without the bundle", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  let loaded = 0;
  page.on("response", async (response) => {
    const isBundle = new URL(response.url()).pathname.startsWith("/bundle/");
    if (!isBundle) loaded += Number(response.headers()["content-length"] ?? 0);
  });
  await page.goto(address(server));
  await page.waitForSelector("#send:enabled");
  assert.match(await page.textContent("#bytes"), /^\d+\.\d of \d+\.\d MB$/);
  assert.ok(loaded > 1e6 && loaded < FIRST_LOAD, `${loaded} bytes`);
  await context.close();
});

test("the page remembers nothing", async () => {
  const kept = await page.evaluate(async () => [
    localStorage.length,
    sessionStorage.length,
    document.cookie,
    (await indexedDB.databases()).length,
    (await caches.keys()).length,
    (await navigator.serviceWorker.getRegistrations()).length,
  ]);
  assert.deepEqual(kept, [0, 0, "", 0, 0, 0]);
});

test("the page's policy: nothing from elsewhere", async () => {
  const failure = await page.evaluate(() =>
    fetch("http://127.0.0.1:9/").catch((error) => error.name),
  );
  assert.equal(failure, "TypeError");
  assert.match(complaints.splice(0).join(" "), /Content Security Policy/);
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
