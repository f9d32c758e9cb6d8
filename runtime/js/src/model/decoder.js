/** Run the decoder, whole or in halves, over caches that grow with every step. */
import { decoderParts } from "../bundle/bundle.js";
import * as format from "../bundle_format.js";
import { ensureLength } from "./graphs.js";

const KINDS = ["key", "value"];

/**
 * A cache is `{ values, length, nextPosition, filled }`: keys and values by name and part, the number
 * of positions, the position id of what follows, and how many parts have filled it.
 */
export class Decoder {
  #graphs;
  #embedder;
  #spec;
  #parts;

  constructor({ decoder }, graphs, embedder) {
    this.#graphs = graphs;
    this.#embedder = embedder;
    this.#spec = decoder;
    this.#parts = decoderParts(decoder);
  }

  /** The parts to run for an early exit: the lower half. */
  get lower() {
    return [0];
  }

  get #all() {
    return this.#parts.map((_, index) => index);
  }

  empty() {
    const { key_value_heads, head_dim } = this.#spec;
    const { dtype } = this.#embedder;
    const nothing = () =>
      this.#graphs.tensor(dtype, this.#embedder.numbers(0), [1, key_value_heads, 0, head_dim]);
    const values = this.#parts.map(({ layers }) =>
      Object.fromEntries(cacheNames(layers).map((name) => [name, nothing()])),
    );
    return { values, length: 0, nextPosition: 0, filled: 0 };
  }

  /**
   * Run a chunk of a prompt behind a cache.
   *
   * @param chunk of Embedder.chunk; `states`, a tensor, takes the place of its embeddings where the
   *     first part does not run.
   * @param cache what came before.
   * @param indices of the parts to run, in order; all by default.
   * @returns `row` (layers * length, attention of the last position) and its `layers`, the longer
   *     `cache`, and `states`: logits, or after the lower half alone hidden states.
   */
  async step(chunk, cache, indices = this.#all) {
    const length = cache.length + chunk.count;
    const shared = {
      [format.ATTENTION_MASK]: this.#graphs.integers(new Array(length).fill(1)),
      [format.POSITION_IDS]: this.#positions(chunk),
    };
    const values = [...cache.values];
    const rows = [];
    let states =
      chunk.states ?? this.#numbers(chunk.embeds, [1, chunk.count, this.#embedder.hidden]);
    for (const index of indices) {
      const part = this.#parts[index];
      const feeds = { ...shared, [part.input]: states, ...this.#added(part, chunk) };
      for (const [name, value] of Object.entries(values[index])) {
        feeds[`${format.PAST_PREFIX}.${name}`] = value;
      }
      const outputs = await this.#graphs.run(part.name, feeds);
      states = outputs[part.output];
      if (part.tapped.length) rows.push(this.#row(part, outputs, length));
      values[index] = Object.fromEntries(
        cacheNames(part.layers).map((name) => [name, outputs[`${format.PRESENT_PREFIX}.${name}`]]),
      );
    }
    const layers = indices.flatMap((index) => this.#parts[index].tapped);
    const filled = indices.at(-1) + 1;
    const { nextPosition } = chunk;
    return { row: joined(rows), layers, cache: { values, length, nextPosition, filled }, states };
  }

  /**
   * Return a prefix, `{ cache, states, chunk }`, with every part of the decoder filled.
   *
   * After an early exit the upper half has not seen what stands before: it follows now.
   */
  async complete(prefix) {
    const missing = this.#all.slice(prefix.cache.filled);
    if (!missing.length) return prefix;
    const chunk = { ...prefix.chunk, states: prefix.states };
    const { cache } = await this.step(chunk, { ...prefix.cache, length: 0 }, missing);
    return { ...prefix, cache };
  }

  /** Return the logits of a step of all parts. */
  logits({ states }) {
    ensureLength(format.LOGITS, states.data, this.#spec.vocab_size);
    return states.data;
  }

  #numbers(data, dims) {
    return this.#graphs.tensor(this.#embedder.dtype, data, dims);
  }

  #positions({ positions, count }) {
    const dims = positions.length === 1 ? [1, count] : [positions.length, 1, count];
    return this.#graphs.integers(positions.flat(), dims);
  }

  /** Features that are added to the first layers' states. */
  #added({ layers: [first] }, { deepstack, count }) {
    if (deepstack === null || first !== 0) return {};
    const dims = [1, this.#spec.deepstack_layers, count, this.#embedder.hidden];
    return { [format.DEEPSTACK_EMBEDS]: this.#numbers(deepstack, dims) };
  }

  /** The attention of a part's layers, the mean over heads: the method reads no other. */
  #row({ tapped }, outputs, length) {
    const { data } = outputs[format.LAST_ROW];
    const heads = this.#spec.attention === "heads" ? this.#spec.attention_heads : 1;
    ensureLength(format.LAST_ROW, data, tapped.length * heads * length);
    return heads === 1 ? data : meanOverHeads(data, heads, length);
  }
}

const cacheNames = (layers) => layers.flatMap((layer) => KINDS.map((kind) => `${layer}.${kind}`));

/** Rows of layers, of rows of heads, one behind the other. */
function meanOverHeads(data, heads, length) {
  const mean = new Float32Array(data.length / heads);
  for (let i = 0; i < data.length; i++) {
    const layer = Math.floor(i / (heads * length));
    mean[layer * length + (i % length)] += data[i] / heads;
  }
  return mean;
}

function joined(rows) {
  const all = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}
