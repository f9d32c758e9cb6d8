// Python's attention, case by case, and what is refused; CARVE_ATTENDED is test_js.py's folder.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Worker } from "node:worker_threads";

import { Attention } from "../../../runtime/js/src/index.js";
import { loadFolder } from "../../../runtime/js/src/node.js";
import { connect } from "../../../runtime/js/src/worker.js";
import { PICTURE, POCKET, QUESTION, refused } from "./shared.mjs";

const folder = process.env.CARVE_ATTENDED;
const { close, cases } = JSON.parse(readFileSync(join(folder, "attended.json")));
const floats = (name) => new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);

const models = new Map(); // by bundle
const modelOf = (bundle) => {
  if (!models.has(bundle)) models.set(bundle, loadFolder(bundle));
  return models.get(bundle);
};
let vlm;
before(async () => (vlm = await modelOf(POCKET)));
after(async () => {
  for (const model of models.values()) await (await model).release();
});

/** The same numbers up to a difference; NaN where Python's are, and nowhere else. */
function near(actual, expected, what, within = close) {
  assert.equal(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const same = Object.is(actual[i], expected[i]); // NaN is
    const message = `${what} ${i}: ${actual[i]}, expected ${expected[i]}`;
    assert.ok(same || Math.abs(actual[i] - expected[i]) <= within, message);
  }
}

for (const { bundle, image, text, generate, ...expected } of cases) {
  test(`${bundle.split("/").at(-1)}: ${image.split("/").at(-1)}, ${generate} steps`, async () => {
    const model = await modelOf(bundle);
    const attention = await model.attend(image, text, { generate });
    const { rows, ...fields } = attention;
    assert.deepEqual(fields, expected.fields);
    assert.equal(attention.steps * attention.layers.length * attention.positions, rows.length);
    near(rows, floats(expected.arrays.rows), "rows");
    near(attention.row(), floats(expected.arrays.row), "row");
    const last = attention.layers.at(-1);
    near(attention.map(-1, last), floats(expected.arrays.map), "map");
    for (const name of ["mass", "entropy"]) {
      near(attention[name]().flat(), expected.figures[name].flat(), name, 10 * close);
    }
    assert.deepEqual(attention.sinks(3), expected.sinks);
    const over = attention.overText(0, last);
    assert.deepEqual(
      over.map(({ token }) => token),
      expected.over_text.map(([token]) => token),
    );
    near(
      over.map(({ share }) => share),
      expected.over_text.map(([, share]) => share),
      "over text",
    );
  });
}

test("one step unless more are wanted; a session attends too, and its tokens are told", async () => {
  const once = await vlm.attend(PICTURE, QUESTION);
  assert.equal(once.steps, 1);
  const session = await vlm.open(PICTURE);
  const told = [];
  const onToken = ({ stage, text }) => told.push([stage, text]);
  const attention = await session.attend(QUESTION, { generate: 8, onToken });
  assert.deepEqual(attention.row(0, 1), once.row(0, 1));
  assert.equal(told.map(([, text]) => text).join(""), attention.answer);
  assert.deepEqual(new Set(told.map(([stage]) => stage)), new Set(["question"]));
  const { plainAnswer } = await session.ask(QUESTION);
  assert.equal(attention.answer, plainAnswer);
});

test("figures by hand", () => {
  // Two steps and layers; a word, 1 x 2 image tokens, a word, and the first word of the answer.
  const attention = new Attention({
    rows: Float32Array.of(
      ...[0.5, 0.2, 0.2, 0.1, 0],
      ...[0.4, 0.6, 0, 0, 0],
      ...[0.4, 0.1, 0.1, 0.2, 0.2],
      ...[0.4, 0.2, 0.2, 0, 0.2],
    ),
    layers: [3, 5],
    ids: [7, -1, -1, 8, 9],
    tokens: ["Look", "", "", "!", "So"],
    words: ["So", "."],
    answer: "So.",
    mapTokens: [1, 2],
    grid: [1, 2],
    window: [0, 0, 4, 2],
    imageSize: [4, 2],
  });
  near(attention.row(0, 3), [0.5, 0.2, 0.2, 0.1], "row");
  near(attention.row(-1), [0.4, 0.15, 0.15, 0.1, 0.2], "mean of the layers");
  near(attention.gridMap(1, 5), [0.2, 0.2], "map of tokens");
  near(attention.map(0, 5), [0.6, 0.45, 0.15, 0, 0.6, 0.45, 0.15, 0], "map");
  near(attention.mass().flat(), [0.4, 0.6, 0.2, 0.4], "mass");
  near(attention.entropy().flat(), [Math.LN2, 0, Math.LN2, Math.LN2], "entropy");
  assert.deepEqual([attention.sinks(1.7), attention.sinks(0.7), attention.sinks()], [[0], [0, 1], []]);
});

test("in a worker", async () => {
  const worker = new Worker(new URL("./node_worker.mjs", import.meta.url));
  try {
    const remote = await connect(worker)(POCKET, {});
    const expected = await vlm.attend(PICTURE, QUESTION, { generate: 2 });
    const session = await remote.open(PICTURE);
    for (const attention of [
      await remote.attend(PICTURE, QUESTION, { generate: 2 }),
      await session.attend(QUESTION, { generate: 2 }),
    ]) {
      assert.deepEqual(attention, expected);
      assert.deepEqual(attention.map(1, 2), expected.map(1, 2));
    }
    await assert.rejects(session.attend(""), refused("prompt", /empty/));
  } finally {
    await worker.terminate();
  }
});

const asked = [
  ["", {}, "prompt", /empty/],
  ["word ".repeat(2000), {}, "prompt", /positions/],
  [QUESTION, { generate: 1e6 }, "prompt", /positions/],
  [QUESTION, { generate: 0 }, "settings", /generate is 0/],
  [QUESTION, { generate: 1.5 }, "settings", /generate is 1.5/],
  [QUESTION, { generate: "2" }, "settings", /generate is 2/],
  [QUESTION, { steps: 2 }, "settings", /no option steps/],
  [QUESTION, null, "settings", /options are null/],
];

for (const [text, options, code, message] of asked) {
  test(`refused: ${text.slice(0, 20)} ${JSON.stringify(options)}`, async () => {
    await assert.rejects(vlm.attend(PICTURE, text, options), refused(code, message));
    const session = await vlm.open(PICTURE);
    await assert.rejects(session.attend(text, options), refused(code, message));
  });
}

test("what is not there is refused", async () => {
  const attention = await vlm.attend(PICTURE, QUESTION);
  const wrong = [
    [() => attention.row(0, 9), /layer 9 is not here, this bundle has 0, 1, 2, 3/],
    [() => attention.map(0, "1"), /layer 1 is not here/],
    [() => attention.row(1), /step is 1. Give one from 0 to 0/],
    [() => attention.row(0.5), /step is 0.5/],
    [() => attention.sinks(0), /factor is 0/],
  ];
  for (const [call, message] of wrong) assert.throws(call, refused("settings", message));
});

test("aborted", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(vlm.attend(PICTURE, QUESTION, { signal }), signal.reason);
});
