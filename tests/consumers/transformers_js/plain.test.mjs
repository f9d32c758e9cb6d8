// transformers.js answers from a bundle as it is, with the ids of Python's plain answers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";

import {
  AutoModelForImageTextToText,
  AutoProcessor,
  RawImage,
  env,
} from "@huggingface/transformers";

const folder = process.env.CARVE_PLAIN;
const { bundle, pairs } = JSON.parse(readFileSync(join(folder, "pairs.json")));
env.allowRemoteModels = false;
env.localModelPath = dirname(bundle);

const options = { dtype: "fp32", device: "cpu" };
const processor = await AutoProcessor.from_pretrained(basename(bundle), options);
const model = await AutoModelForImageTextToText.from_pretrained(basename(bundle), options);

for (const { image, prompt, ids } of pairs) {
  test(`${image}: ${prompt}`, async () => {
    const inputs = await processor(await RawImage.read(join(folder, image)), prompt);
    const output = await model.generate({ ...inputs, max_new_tokens: 8, do_sample: false });
    const generated = output.tolist()[0].map(Number).slice(inputs.input_ids.dims[1]);
    assert.deepEqual(
      generated.filter((id) => id !== model.generation_config.eos_token_id),
      ids,
    );
  });
}
