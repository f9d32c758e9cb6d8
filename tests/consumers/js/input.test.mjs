// What cannot be used is a CarveError that says so.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { readManifest } from "../../../runtime/js/src/bundle/bundle.js";
import { Carve, CarveError } from "../../../runtime/js/src/index.js";
import { folder, loadFolder } from "../../../runtime/js/src/node.js";
import { defaultSettings } from "../../../runtime/js/src/settings.js";
import { remote } from "../../../runtime/js/src/web.js";
import { mutated } from "./mutations.mjs";
import { POCKET, refused } from "./shared.mjs";

const MUTATIONS = 600;
const image = { data: new Uint8Array(40 * 30 * 3).fill(7), width: 40, height: 30 };

let vlm;
const folders = [];
before(async () => (vlm = await loadFolder(POCKET)));
after(async () => {
  await vlm.release();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A copy of the bundle with its manifest edited. */
function edited(edit) {
  const folder = mkdtempSync(join(tmpdir(), "carve-"));
  folders.push(folder);
  for (const name of ["carve.json", "tokenizer.json", "onnx"]) {
    cpSync(join(POCKET, name), join(folder, name), { recursive: true });
  }
  const manifest = JSON.parse(readFileSync(join(folder, "carve.json")));
  edit(manifest, folder);
  writeFileSync(join(folder, "carve.json"), JSON.stringify(manifest));
  return folder;
}

const damage = {
  "a missing bundle": [() => "/nowhere", "bundle", /carve.json cannot be read/],
  "a truncated graph": [
    () =>
      edited((_, folder) => {
        const path = join(folder, "onnx/vision_encoder.onnx");
        writeFileSync(path, readFileSync(path).subarray(0, 100));
      }),
    "bundle",
    /has 100 bytes/,
  ],
  "a swapped file": [
    () =>
      edited((_, folder) => {
        const path = join(folder, "onnx/embed_tokens.onnx");
        const data = readFileSync(path);
        data[data.length - 9] ^= 1;
        writeFileSync(path, data);
      }),
    "bundle",
    /SHA-256 differs/,
  ],
  "another schema": [
    () => edited((manifest) => (manifest.schema_version = 9)),
    "unsupported",
    /schema version 9/,
  ],
  "no graph": [
    () => edited(({ graphs }) => delete graphs.carve_refine),
    "unsupported",
    /no graph carve_refine/,
  ],
  "a graph of the image rule as older versions made it": [
    () => edited(({ graphs }) => graphs.preprocess.outputs.splice(1)),
    "unsupported",
    /gives no image_ids.* Export the checkpoint again/,
  ],
  "a graph that is not listed": [
    () => edited(({ files }) => delete files["onnx/decoder_lower.onnx"]),
    "bundle",
    /does not list onnx\/decoder_lower.onnx/,
  ],
  bfloat16: [
    () => edited((manifest) => (manifest.dtype = "bfloat16")),
    "unsupported",
    /computes in 'bfloat16'/,
  ],
  "caches of another type": [
    () => edited((manifest) => (manifest.dtype = "float16")),
    "unsupported",
    /inputs that this library does not feed/,
  ],
  "no grid": [() => edited(({ image }) => delete image.grid), "bundle", /image: .*"grid"/],
  "a number where a text is due": [
    () => edited(({ prompts }) => (prompts.suffix = 3)),
    "bundle",
    /prompts\/suffix.*"number"/,
  ],
  "ids beyond the vocabulary": [
    () => edited(({ prompts }) => prompts.single[0].ids.push(1e6)),
    "bundle",
    /beyond the vocabulary/,
  ],
  "layers that are not there": [
    () => edited(({ decoder }) => (decoder.tapped_layers = [0, 99])),
    "bundle",
    /no layer 99/,
  ],
  "a split behind the last layer": [
    () => edited(({ decoder }) => (decoder.exit_layers = decoder.layers)),
    "bundle",
    /cannot be split/,
  ],
  "a bottomless manifest": [
    () =>
      edited((manifest) => (manifest.versions.x = JSON.parse("[".repeat(999) + "]".repeat(999)))),
    "bundle",
    /nested too deeply/,
  ],
  "adaptive defaults without thresholds": [
    () =>
      edited(({ defaults }) => Object.assign(defaults, { adaptive: true, sure_probability: null })),
    "settings",
    /no thresholds/,
  ],
  "prompts that do not start alike": [
    () => edited(({ prompts }) => prompts.single.unshift({ ids: [7] })),
    "bundle",
    /do not start alike/,
  ],
  "a path that leaves": [
    () => edited(({ graphs }) => (graphs.embed_tokens.file = "../embed_tokens.onnx")),
    "bundle",
    /outside the bundle/,
  ],
};

for (const [name, [make, code, message]] of Object.entries(damage)) {
  test(`bundle: ${name}`, async () => {
    await assert.rejects(loadFolder(make()), refused(code, message));
  });
}

test("hundreds of damaged manifests: a CarveError, or an answer", async () => {
  const document = JSON.parse(readFileSync(join(POCKET, "carve.json")));
  const whole = folder(POCKET);
  const outcomes = { opened: 0, refused: 0 };
  for (let seed = 0; seed < MUTATIONS; seed++) {
    const text = new TextEncoder().encode(mutated(document, seed));
    const read = async (name, ...rest) =>
      name === "carve.json" ? text : whole.read(name, ...rest);
    try {
      defaultSettings(await readManifest({ read }));
      outcomes.opened++;
    } catch (error) {
      assert.ok(error instanceof CarveError, `seed ${seed}: ${error.stack}`);
      outcomes.refused++;
    }
  }
  assert.ok(
    outcomes.opened > MUTATIONS / 10 && outcomes.refused > MUTATIONS / 2,
    JSON.stringify(outcomes),
  );
});

test("a manifest that is not JSON, or all brackets", async () => {
  const options = { ort: { InferenceSession: {} }, cpu: "cpu" };
  const deep = `{"schema_version": ${"[".repeat(1e5)}${"]".repeat(1e5)}}`;
  for (const [text, message] of [
    ["{", /not JSON/],
    ["null", /schema version/],
    [deep, /nested too deeply/],
  ]) {
    const source = { read: async () => new TextEncoder().encode(text) };
    await assert.rejects(Carve.load(source, options), (error) => {
      assert.ok(error instanceof CarveError, String(error));
      assert.match(error.message, message);
      return true;
    });
    await assert.rejects(Carve.load(source), refused("settings", /Pass ort/));
  }
});

test("a folder that is none", () =>
  assert.rejects(loadFolder(), refused("bundle", /The folder is undefined/)));

test("an address where nothing is, and connections that break", async () => {
  const server = createServer(({ url }, response) => {
    if (url.endsWith("carve.json")) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Length": 9 });
    response.write("half", () => response.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { read } = remote(`http://127.0.0.1:${server.address().port}`);
  await assert.rejects(
    read("carve.json", () => {}),
    refused("bundle", /json: 404\. Check/),
  );
  const broken = refused("bundle", /tokenizer\.json cannot be fetched\. Check/);
  await assert.rejects(
    read("tokenizer.json", () => {}),
    broken,
  );
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(
    read("tokenizer.json", () => {}),
    broken,
  );
});

test("a provider that is not there", async () => {
  await assert.rejects(
    loadFolder(POCKET, { providers: ["nosuch"] }),
    refused("provider", /nosuch/),
  );
});

const images = [null, {}, { data: [1, 2, 3], width: 1, height: 1 }, { ...image, width: 0 }];
images.push({ ...image, height: 1 }, { ...image, width: 41 }, { ...image, width: 2.5 });
images.push({ data: new Uint8Array(2 * 900 * 3), width: 2, height: 900 });

for (const [index, wrong] of images.entries()) {
  test(`image ${index}`, async () => {
    await assert.rejects(vlm.ask(wrong, "What?"), refused("image", /image/));
  });
}

for (const question of [undefined, 3, "", "  \n", "x\ud800y"]) {
  test(`question ${JSON.stringify(question)}`, async () => {
    await assert.rejects(vlm.ask(image, question), refused("prompt", /question/));
  });
}

test("a question that is too long", async () => {
  const session = await vlm.open(image);
  await assert.rejects(session.ask("what ".repeat(2000)), refused("prompt", /positions/));
  await assert.rejects(session.plain("what ".repeat(2000)), refused("prompt", /positions/));
  const early = { earlyExit: true, steps: "first" };
  for (const finalPrompt of ["pair", "refined"]) {
    const onPart = () => assert.fail("a pass ran");
    const asked = session.ask("what ".repeat(2000), { ...early, finalPrompt }, { onPart });
    await assert.rejects(asked, refused("prompt", /positions/));
  }
  assert.equal(typeof (await session.ask("What?")).answer, "string"); // it still works
});

test("defaults that are derived from the attention", async () => {
  const derived = { mask_top_p: "auto", regularizer: "auto", contrast: "auto" };
  const automatic = await loadFolder(edited(({ defaults }) => Object.assign(defaults, derived)));
  const { settings } = await automatic.ask(image, "What?");
  assert.deepEqual([settings.maskTopP, settings.contrast], ["auto", "auto"]);
  await automatic.release();
});

test("settings that a manifest leaves out", async () => {
  const bare = await loadFolder(edited((manifest) => (manifest.defaults = { layers: [2] })));
  const { steps, maskTopP, maxNewTokens, maxRefinedPixels } = bare.settings;
  assert.deepEqual([steps, maskTopP, maxNewTokens, maxRefinedPixels], ["all", 0.2, 32, null]);
  await bare.release();
});

test("calls out of order", async () => {
  const released = await loadFolder(POCKET);
  const session = await released.open(image);
  const result = await session.ask("What?");
  await assert.rejects(session.refineAgain(undefined, {}), TypeError);
  await Promise.all([released.release(), released.release()]);
  await assert.rejects(session.ask("What?"), refused("run", /was released/));
  await assert.rejects(session.refineAgain(result, {}), refused("run", /was released/));
  await assert.rejects(released.open(image), refused("run", /was released/));
});

const settings = [
  [{ layers: [] }, /layers is/],
  [{ layers: [1, 1] }, /layers is/],
  [{ layers: [99] }, /layers is/],
  [{ steps: "some" }, /steps is some/],
  [{ maskTopP: 0 }, /maskTopP is 0/],
  [{ maskTopP: NaN }, /maskTopP is NaN/],
  [{ regularizer: -1 }, /regularizer is -1/],
  [{ outlierPercent: "auto" }, /outlierPercent is auto/],
  [{ method: "relative" }, /method is relative, and this library has contrast and question/],
  [{ contrast: "some" }, /contrast is some/],
  [{ maxRegions: 1.5 }, /maxRegions is 1.5/],
  [{ maxNewTokens: "3" }, /maxNewTokens is 3/],
  [{ maxNewTokens: null }, /maxNewTokens is null/],
  [{ maxRefinedPixels: 0 }, /maxRefinedPixels is 0/],
  [{ mask_top_p: 0.5 }, /no setting named mask_top_p/],
  [{ variant: "v5" }, /variant is v5.*v1, v2/],
  [{ adaptive: 1 }, /adaptive is 1/],
  [{ adaptive: true, sureProbability: null }, /no thresholds/],
  [{ earlyExit: true, steps: "all" }, /earlyExit sees the first step/],
  [{ earlyExit: true, steps: "first", adaptive: true }, /Choose one of the two/],
  [{ earlyExit: true, steps: "first", layers: [3] }, /stops below layer/],
  [{ resizeRefined: "once" }, /resizes twice/],
  [{ scoutPixels: 100 }, /sees every image at one size/],
  [{ finalPixels: 1e6 }, /finalPixels is 1000000, and this model/],
  [{ scoutPixels: 0 }, /scoutPixels is 0/],
  [{ onToken() {} }, /no setting named onToken. It is an option/],
];

for (const [changes, message] of settings) {
  test(`settings ${JSON.stringify(changes)}`, async () => {
    await assert.rejects(vlm.ask(image, "What?", changes), refused("settings", message));
  });
}
