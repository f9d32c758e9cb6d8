// How much pictures differ, as Python measures it; CARVE_CHANGES is test_js.py's file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";

import { loadFolder } from "../../../runtime/js/src/node.js";
import { connect } from "../../../runtime/js/src/worker.js";
import { PICTURE, POCKET, refused } from "./shared.mjs";

const { close, cases } = JSON.parse(readFileSync(process.env.CARVE_CHANGES));

const models = new Map(); // by bundle
const modelOf = (bundle) => {
  if (!models.has(bundle)) models.set(bundle, loadFolder(bundle));
  return models.get(bundle);
};
after(async () => {
  for (const model of models.values()) await (await model).release();
});

for (const { bundle, before, after: next, scoutPixels, change } of cases) {
  test(`${bundle}: ${next}, ${scoutPixels}`, async () => {
    const options = scoutPixels === null ? {} : { scoutPixels };
    const session = await (await modelOf(bundle)).open(before, options);
    const measured = await session.change(next);
    if (change === null) assert.equal(measured, Infinity);
    else assert.ok(Math.abs(measured - change) <= close, `${measured}, expected ${change}`);
    assert.equal(await session.change(before), 0);
  });
}

test("what change refuses, and a session of a worker", async () => {
  const session = await (await modelOf(POCKET)).open(PICTURE);
  await assert.rejects(session.change(7), refused("image", /number|image/));
  await assert.rejects(session.change(PICTURE, { colour: 1 }), refused("settings", /no option colour/));
  const signal = AbortSignal.abort();
  await assert.rejects(session.change(PICTURE, { signal }), signal.reason);
  const worker = new Worker(new URL("./node_worker.mjs", import.meta.url));
  try {
    const remote = await (await connect(worker)(POCKET, {})).open(PICTURE);
    assert.equal(await remote.change(PICTURE), 0);
    const spot = { data: new Uint8Array(12), width: 2, height: 2 };
    assert.equal(await remote.change(spot), Infinity);
  } finally {
    await worker.terminate();
  }
});
