// The page of an Attention in headless Chromium: words, layers, the map and the figures.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../../../runtime/js/tools/browser.js";

const expected = JSON.parse(process.env.EXPECTED);
let browser;
let page;
const complaints = [];

before(async () => {
  browser = await launch();
  page = await browser.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(process.env.PAGE);
});
after(() => browser.close());

/** Where the map that is shown is brightest: the index of the token. */
const brightest = ([rows, columns]) =>
  page.evaluate(
    ([rows, columns]) => {
      const canvas = document.querySelector("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let best = 0;
      let where;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const x = Math.floor(((column + 0.5) / columns) * canvas.width);
          const y = Math.floor(((row + 0.5) / rows) * canvas.height);
          const red = data[4 * (y * canvas.width + x)];
          if (red > best) [best, where] = [red, row * columns + column];
        }
      }
      return where;
    },
    [rows, columns],
  );

test("each word and layer shows its map and figures", async () => {
  assert.deepEqual(await page.locator("#answer button").allTextContents(), expected.words);
  for (const [index, layer] of expected.layers.entries()) {
    await page.fill("#layer", String(index));
    assert.equal(await page.textContent("#number"), String(layer));
    for (const step of expected.words.keys()) {
      const word = page.locator("#answer button").nth(step);
      await word.hover();
      assert.equal(await word.getAttribute("aria-pressed"), "true");
      const share = (100 * expected.mass[step][index]).toFixed(1);
      assert.equal(await page.textContent("#mass"), `${share} %`);
      assert.equal(await brightest(expected.grid), expected.brightest[step][index]);
    }
  }
});

test("the keyboard chooses words, and nothing complains", async () => {
  await page.locator("#answer button").first().focus();
  await page.keyboard.press("Tab");
  const pressed = page.locator("#answer button[aria-pressed=true]");
  assert.equal(await pressed.textContent(), expected.words[1]);
  assert.ok(await page.evaluate(() => document.querySelector("#picture img").naturalWidth > 0));
  assert.deepEqual(complaints, []);
});
