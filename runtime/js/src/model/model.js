/** A bundle's model: encode images, run the shared prefix, answer greedily over it. */
import { sharedPrefixLength } from "../bundle/manifest.js";
import { ensure } from "../errors.js";
import { questionText } from "../text.js";
import { Decoder } from "./decoder.js";
import { Embedder } from "./embedder.js";

/** Prompts are lists of parts: token ids, or the index of an image. */
export class Model {
  #prefixLength;
  #embedder;
  #decoder;

  /**
   * @param parts `manifest`, `settings` (the defaults), `text` (a Text) and `graphs` (a Graphs).
   */
  constructor({ manifest, settings, text, graphs }) {
    Object.assign(this, { manifest, settings, text, graphs });
    this.#prefixLength = sharedPrefixLength(manifest.prompts);
    this.#embedder = new Embedder(manifest, graphs);
    this.#decoder = new Decoder(manifest, graphs, this.#embedder);
  }

  /** Refuse budgets of pixels that the model cannot keep to. */
  async checkPixels({ scoutPixels, finalPixels }) {
    await this.#embedder.checkPixels(scoutPixels, "scoutPixels");
    await this.#embedder.checkPixels(finalPixels, "finalPixels");
  }

  /** Return what follows the shared prefix in the prompt `single` or `pair`, with a question in it. */
  promptParts(name, question) {
    const text = questionText(question, this.manifest.prompts);
    const encoded = (segment) => this.text.encode(segment.text.replaceAll("{text}", () => text));
    const rest = this.manifest.prompts[name].slice(this.#prefixLength);
    return rest.map((segment) => segment.ids ?? segment.image ?? encoded(segment));
  }

  /** Return the ids of the shared prefix and of what follows it, FEATURE for each image token. */
  promptIds(parts, images) {
    const all = [...this.#prefixParts, ...parts];
    return all.flatMap((part) => (typeof part === "number" ? images[part].ids : part));
  }

  get #prefixParts() {
    const segments = this.manifest.prompts.single.slice(0, this.#prefixLength);
    return segments.map((segment) => segment.ids ?? segment.image);
  }

  /**
   * Refuse a prompt that does not fit into the model's context.
   *
   * @param start positions of what comes before `parts`.
   * @param images what the model saw of those that the parts name; one that is not known yet counts
   *     as one token.
   */
  checkContext(start, parts, images, maxNewTokens) {
    const lengthOf = (part) =>
      typeof part === "number" ? (images[part]?.ids.length ?? 1) : part.length;
    const length = parts.reduce((sum, part) => sum + lengthOf(part), start);
    const limit = this.manifest.decoder.context_length;
    ensure(
      length + maxNewTokens - 1 <= limit,
      "prompt",
      `The prompt of ${length} tokens and ${maxNewTokens} new tokens need more than the model's ` +
        `${limit} positions. Shorten the question, lower maxNewTokens, or give a smaller image.`,
    );
  }

  /** Return what the model sees of an RGB image in at most so many pixels (null: its own limit). */
  see(image, maxPixels = null) {
    return this.#embedder.see(image, maxPixels);
  }

  /** Return an image that was seen with its features. */
  encode(seen) {
    return this.#embedder.encode(seen);
  }

  /**
   * Encode an image and run the prefix that all prompts about it share.
   *
   * @param options `lower`: run the lower half of the decoder only, for now; `maxPixels`, `signal`.
   * @returns `image` (what `encode` returns) and its `prefix`.
   */
  async open(pixels, { lower = false, maxPixels = null, signal } = {}) {
    const seen = await this.see(pixels, maxPixels);
    const parts = this.#prefixParts;
    this.checkContext(0, parts, [seen], 1);
    signal?.throwIfAborted();
    const image = await this.encode(seen);
    signal?.throwIfAborted();
    const chunk = await this.#embedder.chunk(parts, [image], 0);
    const indices = lower ? this.#decoder.lower : undefined;
    const { cache, states } = await this.#decoder.step(chunk, this.#decoder.empty(), indices);
    return { image, prefix: { cache, states, chunk } };
  }

  /** Return what was opened with every part of the decoder filled. */
  async complete({ image, prefix }) {
    return { image, prefix: await this.#decoder.complete(prefix) };
  }

  /** Return the attention of one step from the lower half of the decoder alone. */
  async attend({ image, prefix }, parts) {
    this.checkContext(prefix.cache.length, parts, [image], 1);
    const chunk = await this.#embedder.chunk(parts, [], prefix.cache.nextPosition);
    const step = await this.#decoder.step(chunk, prefix.cache, this.#decoder.lower);
    return {
      ...passOf(image, step.layers, [imageRow(step, image, prefix)]),
      ids: [],
      probability: 1,
    };
  }

  /**
   * Answer a prompt greedily.
   *
   * @param opened of `open`, complete.
   * @param parts what follows the prefix.
   * @param images all that the prompt names, encoded.
   * @param options `maxNewTokens`, `signal` and `listener`: its `take(id)` is told of each id of the
   *     answer, its `end()` of the end; `onStep` of each step of the decoder and of its likeliest id.
   * @returns `ids`, their `probability`, and the attention (attention.js) to the first image.
   */
  async generate({ image, prefix }, parts, images, { maxNewTokens, listener, signal, onStep }) {
    const { eos_token_ids: ends } = this.manifest.decoder;
    this.checkContext(prefix.cache.length, parts, images, maxNewTokens);
    const ids = [];
    const rows = [];
    let probability = 1;
    let step = { cache: prefix.cache };
    for (let next = parts; ;) {
      signal?.throwIfAborted();
      const chunk = await this.#embedder.chunk(next, images, step.cache.nextPosition);
      step = await this.#decoder.step(chunk, step.cache);
      rows.push(imageRow(step, image, prefix));
      const logits = this.#decoder.logits(step);
      const id = indexOfLargest(logits);
      onStep?.(step, id);
      probability *= softmaxAt(logits, id);
      if (ends.includes(id)) break;
      ids.push(id);
      listener?.take(id);
      if (rows.length === maxNewTokens) break;
      next = [[id]];
      if (signal) await turn();
    }
    listener?.end();
    return { ...passOf(image, step.layers, rows), ids, probability };
  }
}

function passOf({ mapTokens }, layers, rows) {
  const attention = new Float32Array(rows.length * layers.length * mapTokens.length);
  rows.forEach((row, step) => attention.set(row, step * row.length));
  return { attention, steps: rows.length, layers, tokens: mapTokens.length };
}

/** Return a step's attention to the tokens of the map, layer by layer: the image ends the prefix. */
function imageRow({ row, layers, cache }, { ids, mapTokens }, prefix) {
  const start = prefix.cache.length - ids.length;
  const tokens = mapTokens.length;
  const attention = new Float32Array(layers.length * tokens);
  for (let layer = 0; layer < layers.length; layer++) {
    const from = layer * cache.length + start;
    for (let i = 0; i < tokens; i++) attention[layer * tokens + i] = row[from + mapTokens[i]];
  }
  ensure(attention.every(Number.isFinite), "run", "The decoder's attention is not finite.");
  return attention;
}

function indexOfLargest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** Return the softmax of logits at one token, in single precision summed in double. */
function softmaxAt(logits, token) {
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - logits[token]);
  return 1 / sum;
}

/** Let what else waits run, an abort's message among it. */
const turn = () =>
  new Promise((resolve) => {
    if (globalThis.setImmediate) return setImmediate(resolve);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
