// transformers.js runs the folders that bundles are made of, with the ids of the bundles' plain answers.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";

import {
  AutoModelForImageTextToText,
  AutoProcessor,
  RawImage,
  Tensor,
  env,
} from "@huggingface/transformers";

const place = process.env.CARVE_FOLDERS;
const cases = JSON.parse(readFileSync(join(place, "cases.json")));
env.allowRemoteModels = false;
env.localModelPath = dirname(cases[0].folder);

const options = { dtype: "fp32", device: "cpu" };
const models = new Map();
const modelOf = (name) => {
  if (!models.has(name)) {
    models.set(name, AutoModelForImageTextToText.from_pretrained(name, options));
  }
  return models.get(name);
};

/** What a model takes, from the arrays that Python wrote. */
function inputsOf({ ids, pixels, shape }) {
  const bytes = readFileSync(join(place, pixels));
  const size = [1, ids.length];
  const [views, height, width] = [shape.at(-4), shape.at(-2), shape.at(-1)];
  return {
    input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), size),
    attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), size),
    pixel_values: new Tensor("float32", new Float32Array(new Uint8Array(bytes).buffer), shape),
    // Only models that take it are given it.
    pixel_attention_mask: new Tensor(
      "bool",
      new Uint8Array(views * height * width).fill(1),
      [1, views, height, width],
    ),
  };
}

for (const each of cases) {
  const name = basename(each.folder);
  test(`${name}: ${each.prompt}`, async () => {
    const model = await modelOf(name);
    const inputs = inputsOf(each);
    const { logits } = await model(inputs);
    const [, positions, words] = logits.dims;
    writeFileSync(join(place, each.logits), logits.data.subarray((positions - 1) * words));
    const output = await model.generate({ ...inputs, max_new_tokens: each.steps, do_sample: false });
    const generated = output.tolist()[0].map(Number).slice(each.ids.length);
    assert.deepEqual(
      generated.filter((id) => id !== model.generation_config.eos_token_id),
      each.answer,
    );
  });

  test(`${name}: the ids of ${each.prompt}`, async () => {
    const processor = await AutoProcessor.from_pretrained(name, options);
    const image = await RawImage.read(join(place, each.image));
    const asked = each.imageFirst ? [image, each.prompt] : [each.prompt, image];
    const { input_ids: ids } = await processor(...asked);
    assert.deepEqual(ids.tolist()[0].map(Number), each.ids);
  });
}
