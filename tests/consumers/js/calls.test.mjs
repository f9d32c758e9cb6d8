// How the library is called: kinds of images, tokens as they come, aborts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { decodeWithSharp } from "../../../runtime/js/src/images/sharp.js";
import { Carve, folder, loadFolder } from "../../../runtime/js/src/node.js";
import { PICTURE, POCKET, QUESTION, refused } from "./shared.mjs";

const PHOTO = join(import.meta.dirname, "../../photos/portrait.jpg");

let vlm;
let expected;
before(async () => {
  vlm = await loadFolder(POCKET);
  expected = await vlm.ask(PICTURE, QUESTION);
});
after(() => vlm.release());

const bytes = readFileSync(PICTURE);
const encoded = {
  "a file: URL": pathToFileURL(PICTURE),
  "a Buffer": bytes,
  "an ArrayBuffer": Uint8Array.from(bytes).buffer,
  "a Blob": new Blob([bytes]),
};

for (const [name, image] of Object.entries(encoded)) {
  test(`an image as ${name}`, async () => {
    const { plainIds, bbox } = await vlm.ask(image, QUESTION);
    assert.deepEqual([plainIds, bbox], [expected.plainIds, expected.bbox]);
  });
}

const unreadable = {
  "no file": ["/nowhere.jpg", /cannot be read \(ENOENT\)/],
  "a folder": [POCKET, /cannot be read \(EISDIR\)/],
  "bytes that are none": [Buffer.from("no picture"), /cannot be decoded/],
  "a truncated picture": [bytes.subarray(0, 400), /cannot be decoded/],
};

for (const [name, [image, message]] of Object.entries(unreadable)) {
  test(`an image that is ${name}`, async () => {
    await assert.rejects(vlm.ask(image, QUESTION), refused("image", message));
  });
}

test("without a decoder only pixels", async () => {
  const bare = await loadFolder(POCKET, { decode: undefined });
  await assert.rejects(bare.ask(PICTURE, QUESTION), refused("image", /Load with decode/));
  await bare.release();
});

test("a pair of one's own", async () => {
  const { refinedImage, ids } = expected;
  const own = await vlm.plain(PICTURE, QUESTION, {}, { refined: refinedImage });
  assert.deepEqual(own.ids, ids);
});

test("tokens of all passes, as they come", async () => {
  const session = await vlm.open(PHOTO);
  const texts = { question: "", general: "", final: "" };
  const answering = session.stream(QUESTION, { steps: "all", maxNewTokens: 6 });
  for await (const { stage, text } of answering) texts[stage] += text;
  const { plainAnswer, answer } = await answering.result;
  assert.deepEqual([texts.question, texts.final], [plainAnswer, answer]);
  assert.ok(texts.general);
});

test("to stop iterating stops the work, and the session answers again", async () => {
  const session = await vlm.open(PICTURE);
  const answering = session.stream(QUESTION);
  for await (const { stage } of answering) {
    assert.equal(stage, "question");
    break;
  }
  await assert.rejects(answering.result, { name: "AbortError" });
  assert.deepEqual((await session.ask(QUESTION)).ids, expected.ids);
});

test("an error reaches whoever iterates", async () => {
  const iterate = async () => {
    for await (const token of vlm.stream(PICTURE, "")) assert.fail(token);
  };
  await assert.rejects(iterate, refused("prompt", /empty/));
});

test("aborted before, meanwhile, and in the queue", async () => {
  const reason = new Error("enough");
  await assert.rejects(
    vlm.ask(PICTURE, QUESTION, {}, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  const session = await vlm.open(PICTURE);
  for (const stage of ["question", "final"]) {
    const controller = new AbortController();
    const stop = (token) => token.stage === stage && controller.abort(reason);
    const { signal } = controller;
    const waiting = new AbortController();
    const first = session.ask(QUESTION, {}, { signal, onToken: stop });
    const second = session.ask(QUESTION, {}, { signal: waiting.signal });
    waiting.abort(reason);
    await assert.rejects(second, reason);
    await assert.rejects(first, reason);
  }
  assert.deepEqual((await session.ask(QUESTION)).ids, expected.ids);
});

test("loading stops", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(loadFolder(POCKET, { signal }), signal.reason);
});

const options = [
  [{ onToken: 3 }, /onToken is not a function/],
  [{ onPart: "x" }, /onPart is not a function/],
  [{ signal: {} }, /signal is not an AbortSignal/],
  [{ onpart: () => {} }, /no option onpart/],
  [null, /options are null/],
];

for (const [given, message] of options) {
  test(`options ${Object.keys(given ?? {})}`, async () => {
    await assert.rejects(vlm.ask(PICTURE, QUESTION, {}, given), refused("settings", message));
    await assert.rejects(vlm.stream(PICTURE, QUESTION, {}, given).result, refused("settings", message));
    await assert.rejects(vlm.plain(PICTURE, QUESTION, {}, given), refused("settings", message));
  });
}

test("values that cannot be written", async () => {
  const itself = [];
  itself.push(itself);
  for (const value of [[3n], itself, Symbol("x"), () => {}]) {
    for (const name of ["layers", "steps", "maskTopP", "adaptive"]) {
      const wrong = refused("settings", new RegExp(`${name} is `));
      await assert.rejects(vlm.ask(PICTURE, QUESTION, { [name]: value }), wrong);
    }
  }
  await assert.rejects(vlm.open(PICTURE, null), refused("settings", /options are null/));
});

test("a signal that is none, wherever one is taken", async () => {
  const wrong = refused("settings", /signal is not an AbortSignal/);
  for (const signal of [5, {}, null]) {
    await assert.rejects(vlm.open(PICTURE, { signal }), wrong);
    await assert.rejects(loadFolder(POCKET, { signal }), wrong);
  }
});

test("loading that stops or fails releases what was loaded", async () => {
  const ort = (await import("../../../runtime/js/node_modules/onnxruntime-node/dist/index.js"))
    .default;
  const failures = {
    stopped: (controller) => controller.abort(new Error("enough")),
    failed: () => {
      throw new Error("enough");
    },
  };
  for (const [name, fail] of Object.entries(failures)) {
    const controller = new AbortController();
    const sessions = [];
    const create = async (...parameters) => {
      if (sessions.length === 2) fail(controller);
      sessions.push(await ort.InferenceSession.create(...parameters));
      return sessions.at(-1);
    };
    const counting = { InferenceSession: { create }, Tensor: ort.Tensor };
    const { signal } = controller;
    await assert.rejects(loadFolder(POCKET, { ort: counting, signal }), /enough/);
    assert.ok(sessions.length >= 2, name);
    for (const session of sessions) {
      const feeds = Object.fromEntries(session.inputNames.map((input) => [input, null]));
      await assert.rejects(async () => session.run(feeds), /disposed/, name);
    }
  }
});

/** Write over everything that a result holds. */
function spoil(value) {
  if (ArrayBuffer.isView(value)) return value.fill(0);
  for (const [key, part] of Object.entries(value)) {
    if (typeof part === "object" && part !== null) spoil(part);
    else value[key] = 0;
  }
}

test("a result is the caller's: writing to it changes no later answer", async () => {
  const session = await vlm.open(PICTURE);
  const sure = { adaptive: true, sureProbability: 0, focusedEntropy: 9 };
  const changes = { contrast: "on" };
  const first = structuredClone(await session.ask(QUESTION, changes));
  spoil(await session.ask(QUESTION, sure));
  const again = await session.ask(QUESTION, changes);
  spoil(await session.refineAgain(again, changes));
  again.generalAttention.attention.fill(0); // with its layers unknown it would be computed again
  assert.deepEqual(await session.ask(QUESTION, changes), first);
  spoil(again);
  await session.ask(QUESTION, changes, { onPart: ({ grid, window }) => spoil([grid, window]) });
  spoil(vlm.settings);
  assert.deepEqual(await session.ask(QUESTION, changes), first);
  assert.deepEqual((await session.refineAgain(first)).bbox, first.bbox);
});

test("a variant is its settings, and single settings win", async () => {
  const { settings } = await vlm.ask(PICTURE, QUESTION, { variant: "v1", steps: "last" });
  assert.deepEqual([settings.steps, settings.strategy], ["last", "remove_small"]);
});

test("early exit: the mask without a plain answer; the whole follows when it is needed", async () => {
  const session = await vlm.open(PICTURE);
  const changes = { earlyExit: true, steps: "first" };
  const early = await vlm.ask(PICTURE, QUESTION, changes);
  assert.deepEqual([early.plainAnswer, early.plainIds, early.plainProbability], [null, null, null]);
  assert.deepEqual([early.bbox, early.ids], [expected.bbox, expected.ids]);
  assert.deepEqual((await session.ask(QUESTION, changes)).ids, expected.ids);
  const deeper = session.refineAgain(early, { earlyExit: false, layers: [3] });
  await assert.rejects(deeper, refused("settings", /no attention of some of these layers/));
});

test("adaptive: the plain answer where it is sure and focused", async () => {
  const thresholds = { adaptive: true, sureProbability: 0, focusedEntropy: 9 };
  const kept = await vlm.ask(PICTURE, QUESTION, thresholds);
  assert.match(kept.skipped, /^the plain answer is sure \(probability 0\.\d{3}, at least 0\.000\)/);
  assert.deepEqual([kept.ids, kept.bbox], [expected.plainIds, [0, 0, kept.width, kept.height]]);
  assert.ok(kept.saliency.every(Number.isNaN) && kept.mask.every(Boolean));
  for (const unsure of [{ sureProbability: 1 }, { focusedEntropy: 0 }]) {
    const { skipped, ids } = await vlm.ask(PICTURE, QUESTION, { ...thresholds, ...unsure });
    assert.deepEqual([skipped, ids], [null, expected.ids]);
  }
});

test("a bundle that gives bytes alone", async () => {
  const { read } = folder(POCKET); // as from an address: the halves' weights are in a third file
  const ort = (await import("../../../runtime/js/node_modules/onnxruntime-node/dist/index.js"))
    .default;
  const given = await Carve.load({ read }, { ort, cpu: "cpu", decode: decodeWithSharp });
  assert.deepEqual((await given.ask(PICTURE, QUESTION)).ids, expected.ids);
  await given.release();
});
