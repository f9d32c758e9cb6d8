// The model in a worker: the same calls and answers, and what may go wrong between two threads.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { Worker } from "node:worker_threads";

import { CarveError, loadFolder } from "../../../runtime/js/src/node.js";
import { connect } from "../../../runtime/js/src/worker.js";
import { PICTURE, POCKET, QUESTION, refused } from "./shared.mjs";

const SERVING = new URL("./node_worker.mjs", import.meta.url);
const DEADLINE = 60e3; // ms

let worker;
let remote;
before(async () => {
  worker = new Worker(SERVING);
  remote = await connect(worker)(POCKET, {});
});
after(() => worker.terminate());

test("in a worker, while this thread goes on", async () => {
  const vlm = await loadFolder(POCKET);
  const expected = await vlm.ask(PICTURE, QUESTION);
  const worker = new Worker(SERVING);
  try {
    const progress = [];
    const onProgress = (loaded, total) => progress.push(loaded / total);
    const remote = await connect(worker)(POCKET, { onProgress });
    assert.equal(progress.at(-1), 1);
    assert.equal(remote.manifest.family, vlm.manifest.family);
    const session = await remote.open(PICTURE);
    const parts = [];
    const onPart = (known) => parts.push(Object.keys(known).length);
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    const result = await session.ask(QUESTION, {}, { onPart });
    clearInterval(ticking);
    assert.deepEqual([result.ids, result.bbox], [expected.ids, expected.bbox]);
    assert.ok(turns > 5, `${turns} turns`);
    assert.ok(parts.length > 2 && parts.every((count, i) => i === 0 || count >= parts[i - 1]));
    const wider = await session.refineAgain(result, { maskTopP: 1 });
    assert.ok(wider.mask.every(Boolean));
    const answering = session.stream(QUESTION);
    for await (const { text } of answering) if (text) break;
    await assert.rejects(answering.result, { name: "AbortError" });
    await assert.rejects(session.ask(""), refused("prompt", /empty/));
    await session.close();
    assert.deepEqual((await remote.plain(PICTURE, QUESTION)).ids, expected.plainIds);
    await remote.release();
  } finally {
    await worker.terminate();
    await vlm.release();
  }
});

test("a worker that ends with an error", async () => {
  const worker = new Worker("setTimeout(() => { throw new Error('gone'); }, 50)", { eval: true });
  const exited = new Promise((resolve) => worker.once("exit", resolve)); // may come with the error
  const load = connect(worker);
  await assert.rejects(load(POCKET, {}), refused("run", /gone/));
  await exited;
  await assert.rejects(load(POCKET, {}), refused("run", /gone/));
});

test("what is wrong with a call rejects its promise", async () => {
  const reason = new Error("enough");
  const session = await remote.open(PICTURE);
  for (const [signal, expected] of [
    [AbortSignal.abort(reason), reason],
    [5, refused("settings", /signal is not an AbortSignal/)],
  ]) {
    await assert.rejects(remote.ask(PICTURE, QUESTION, {}, { signal }), expected);
    await assert.rejects(remote.stream(PICTURE, QUESTION, {}, { signal }).result, expected);
    await assert.rejects(session.stream(QUESTION, {}, { signal }).result, expected);
    await assert.rejects(remote.open(PICTURE, { signal }), expected);
  }
  await assert.rejects(session.refineAgain(undefined), TypeError);
  const result = await session.ask(QUESTION);
  assert.deepEqual((await session.refineAgain(result)).bbox, result.bbox);
  await session.close();
  await assert.rejects(session.ask(QUESTION), refused("run", /ask .* was closed/));
});

test("errors have a code only where the library has one", async () => {
  const code = (promise) =>
    promise.then(
      () => assert.fail(),
      (error) => [error.name, error.code],
    );
  assert.deepEqual(await code(remote.ask("/nowhere.jpg", QUESTION)), ["CarveError", "image"]);
  const script = (thrown) => `
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(import.meta.resolve("../../../runtime/js/src/worker.js"))}).then(
      ({ serve }) => {
        serve(parentPort, async () => { throw ${thrown}; });
        parentPort.postMessage("ready");
      },
    );`;
  for (const thrown of [
    'new DOMException("x", "DataCloneError")',
    'Object.assign(new Error("x"), { code: "ENOENT" })',
    "null",
  ]) {
    const throwing = new Worker(script(thrown), { eval: true });
    await once(throwing, "message");
    assert.deepEqual(await code(connect(throwing)({})), ["Error", undefined], thrown);
    await throwing.terminate();
  }
});

test("what cannot be cloned is refused, and keeps no program from its end", async () => {
  const image = { data: new Uint8Array(12), width: 2, height: 2, decode() {} };
  await assert.rejects(remote.ask(image, QUESTION), refused("image", /cannot be sent/));
  await assert.rejects(connect(worker)({ decode: { f() {} } }), refused("settings", /cannot be sent/));
  const program = `
    import { Worker } from "node:worker_threads";
    import { connect } from ${JSON.stringify(import.meta.resolve("../../../runtime/js/src/worker.js"))};
    const worker = new Worker(new URL(${JSON.stringify(SERVING.href)}), { execArgv: [] });
    const remote = await connect(worker)(${JSON.stringify(POCKET)}, {});
    worker.unref();
    await remote.open(() => {}).catch(({ code }) => console.log(code));
  `;
  const options = { encoding: "utf8", timeout: DEADLINE };
  const printed = execFileSync("node", ["--input-type=module", "-e", program], options);
  assert.equal(printed, "image\n");
});

test("calls to a worker that has ended are rejected: waiting, later, and by a new connection", async () => {
  const worker = new Worker(SERVING);
  const remote = await connect(worker)(POCKET, {});
  const waiting = assert.rejects(remote.ask(PICTURE, QUESTION), refused("run", /has ended/));
  await worker.terminate();
  await waiting;
  await assert.rejects(remote.ask(PICTURE, QUESTION), refused("run", /has ended/));
  await assert.rejects(connect(worker)(POCKET, {}), refused("run", /has ended/));
});
