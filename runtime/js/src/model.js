/** A bundle's model: encode images, run the shared prefix, answer greedily over a key/value cache. */
import { dtypeOf, noNumbers, sharedPrefixLength } from "./bundle.js";
import * as format from "./bundle_format.js";
import { ensure } from "./errors.js";
import { questionText } from "./text.js";

/** Prompts are lists of parts: token ids, or the index of an image. */
export class Model {
  #prefixLength;
  #dtype;

  /**
   * @param parts `manifest`, `settings` (the defaults), `text` (a Text) and `graphs` (a Graphs).
   */
  constructor({ manifest, settings, text, graphs }) {
    Object.assign(this, { manifest, settings, text, graphs });
    this.#prefixLength = sharedPrefixLength(manifest.prompts);
    this.#dtype = dtypeOf(manifest);
  }

  get #tokens() {
    const [rows, columns] = this.manifest.image.grid;
    return rows * columns;
  }

  get #hidden() {
    return this.manifest.decoder.hidden_size;
  }

  #integers(values) {
    return this.graphs.tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  }

  /** Return `features` (tokens * hidden) of an RGB image, and the `window` that they cover. */
  async encodeImage({ data, width, height }) {
    const image = this.graphs.tensor("uint8", data, [height, width, 3]);
    const ownLimit = this.graphs.tensor("int64", BigInt64Array.of(0n), []);
    const feeds = { [format.IMAGE]: image, [format.MAX_PIXELS]: ownLimit };
    const inputs = await this.graphs.run("preprocess", feeds);
    const pixels = inputs[format.PIXEL_VALUES];
    const outputs = await this.graphs.run("vision", { [format.PIXEL_VALUES]: pixels });
    const { data: features } = outputs[format.IMAGE_FEATURES];
    ensureLength(format.IMAGE_FEATURES, features, this.#tokens * this.#hidden);
    return { features, window: inputs[format.WINDOW].data };
  }

  /** Return the parts of the prompt `single` or `pair` with a question in it. */
  promptParts(name, question) {
    const text = questionText(question, this.manifest.prompts);
    return this.manifest.prompts[name].map(
      (segment) =>
        segment.ids ??
        segment.image ??
        this.text.encode(segment.text.replaceAll("{text}", () => text)),
    );
  }

  /** Refuse a prompt that does not fit into the model's context. */
  checkContextBudget(parts, maxNewTokens) {
    const lengths = parts.map((part) => (Array.isArray(part) ? part.length : this.#tokens));
    const length = lengths.reduce((sum, count) => sum + count, 0);
    const limit = this.manifest.decoder.context_length;
    ensure(
      length + maxNewTokens - 1 <= limit,
      "prompt",
      `The prompt of ${length} tokens and ${maxNewTokens} new tokens need more than the model's ` +
        `${limit} positions. Shorten the question, or lower maxNewTokens.`,
    );
  }

  /** Return the cache of the segments that both prompts start with, through the first image. */
  async prefill(features) {
    const segments = this.manifest.prompts.single.slice(0, this.#prefixLength);
    const parts = segments.map((segment) => segment.ids ?? segment.image);
    const { cache } = await this.#step(await this.#embed(parts, [features]), this.#emptyCache());
    return cache;
  }

  /**
   * Answer a prompt greedily.
   *
   * @param parts of the whole prompt.
   * @param images the features of each image.
   * @param prefix the cache of the prompt's beginning, from `prefill`.
   * @param maxNewTokens most forward steps.
   * @returns `ids`, and `attention` (steps * tapped layers * tokens) to the image that ends the
   *     prefix, with the number of `steps`.
   */
  async generate(parts, images, prefix, maxNewTokens) {
    const { eos_token_ids: ends } = this.manifest.decoder;
    const ids = [];
    const rows = [];
    let cache = prefix;
    let embeds = await this.#embed(parts.slice(this.#prefixLength), images);
    for (;;) {
      const step = await this.#step(embeds, cache);
      cache = step.cache;
      rows.push(this.#imageRow(step.row, cache.length, prefix.length));
      const id = indexOfLargest(step.logits);
      if (ends.includes(id)) break;
      ids.push(id);
      if (rows.length === maxNewTokens) break;
      embeds = await this.#embed([[id]], []);
    }
    return { ids, attention: concatenated(rows), steps: rows.length };
  }

  /** Return a row's numbers of the image that ends at `imageEnd`, layer by layer. */
  #imageRow(row, length, imageEnd) {
    const tokens = this.#tokens;
    const layers = this.manifest.decoder.tapped_layers.length;
    ensureLength(format.LAST_ROW, row, layers * length);
    const attention = new Float32Array(layers * tokens);
    for (let layer = 0; layer < layers; layer++) {
      const end = layer * length + imageEnd;
      attention.set(row.subarray(end - tokens, end), layer * tokens);
    }
    ensure(attention.every(Number.isFinite), "run", "The decoder's attention is not finite.");
    return attention;
  }

  async #embed(parts, images) {
    const embeds = [];
    for (const part of parts) {
      if (!Array.isArray(part)) embeds.push(images[part]);
      else if (part.length) embeds.push(await this.#embedIds(part));
    }
    return concatenated(embeds);
  }

  async #embedIds(ids) {
    const outputs = await this.graphs.run("embed", { [format.INPUT_IDS]: this.#integers(ids) });
    const { data } = outputs[format.INPUTS_EMBEDS];
    ensureLength(format.INPUTS_EMBEDS, data, ids.length * this.#hidden);
    return data;
  }

  #emptyCache() {
    const { layers, key_value_heads, head_dim } = this.manifest.decoder;
    const dims = [1, key_value_heads, 0, head_dim];
    const values = {};
    for (let layer = 0; layer < layers; layer++) {
      for (const kind of ["key", "value"]) {
        const nothing = noNumbers(this.#dtype);
        values[`${layer}.${kind}`] = this.graphs.tensor(this.#dtype, nothing, dims);
      }
    }
    return { values, length: 0 };
  }

  /** Run the decoder once: logits of the last position, its attention row, the longer cache. */
  async #step(embeds, cache) {
    const count = embeds.length / this.#hidden;
    const length = cache.length + count;
    const positions = Array.from({ length: count }, (_, i) => cache.length + i);
    const feeds = {
      [format.INPUTS_EMBEDS]: this.graphs.tensor(this.#dtype, embeds, [1, count, this.#hidden]),
      [format.ATTENTION_MASK]: this.#integers(new Array(length).fill(1)),
      [format.POSITION_IDS]: this.#integers(positions),
    };
    for (const [name, value] of Object.entries(cache.values)) {
      feeds[`${format.PAST_PREFIX}.${name}`] = value;
    }
    const outputs = await this.graphs.run("decoder", feeds);
    const { data: logits } = outputs[format.LOGITS];
    ensureLength(format.LOGITS, logits, this.manifest.decoder.vocab_size);
    const present = (name) => outputs[`${format.PRESENT_PREFIX}.${name}`];
    const values = Object.keys(cache.values).map((name) => [name, present(name)]);
    return {
      logits,
      row: outputs[format.LAST_ROW].data,
      cache: { values: Object.fromEntries(values), length },
    };
  }
}

function ensureLength(name, data, expected) {
  ensure(
    data.length === expected,
    "bundle",
    `The graph's output ${name} has ${data.length} numbers, expected ${expected}. Copy the ` +
      "bundle again, or export it again.",
  );
}

function indexOfLargest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** Join arrays of one kind. */
function concatenated(arrays) {
  const [{ constructor: Numbers }] = arrays;
  const all = new Numbers(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}
