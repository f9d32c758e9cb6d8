/** The passes: preprocess, encode, and greedy decoding over a key/value cache. */
import { CarveError, require } from "./errors.js";

/** The five graphs, loaded. */
export class Engine {
  #ort;
  #manifest;
  #sessions;

  constructor(ort, manifest, sessions) {
    this.#ort = ort;
    this.#manifest = manifest;
    this.#sessions = sessions;
  }

  /**
   * Load the graphs.
   *
   * @param ort onnxruntime-node or onnxruntime-web.
   * @param bundle what readBundle returned.
   * @param providers execution providers of the model's graphs, best first.
   * @param cpu the provider of the steps around the model: double precision and integers.
   */
  static async load(ort, { manifest, graphs }, providers, cpu) {
    const sessions = {};
    for (const [role, bytes] of Object.entries(graphs)) {
      const steps = role === "preprocess" || role === "refine";
      const options = { executionProviders: steps ? [cpu] : providers, logSeverityLevel: 4 };
      try {
        sessions[role] = await ort.InferenceSession.create(bytes, options);
      } catch (error) {
        const message = `ONNX Runtime cannot load the graph ${role} with ${options.executionProviders}`;
        throw new CarveError("provider", `${message}: ${error.message}`, error);
      }
    }
    return new Engine(ort, manifest, sessions);
  }

  async release() {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  get #tokens() {
    const [rows, columns] = this.#manifest.image.grid;
    return rows * columns;
  }

  tensor(type, data, dims) {
    return new this.#ort.Tensor(type, data, dims);
  }

  #integers(values) {
    return this.tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  }

  async run(role, feeds) {
    try {
      return await this.#sessions[role].run(feeds);
    } catch (error) {
      throw new CarveError("run", `ONNX Runtime failed in ${role}: ${error.message}`, error);
    }
  }

  /** Return what the model sees of an image: `features` (tokens * hidden) and `window`. */
  async see({ data, width, height }) {
    const image = this.tensor("uint8", data, [height, width, 3]);
    const { pixel_values, window } = await this.run("preprocess", { image });
    const { image_features } = await this.run("vision", { pixel_values });
    const wanted = this.#tokens * this.#manifest.decoder.hidden_size;
    requireLength("image_features", image_features.data, wanted);
    return { features: image_features.data, window: window.data };
  }

  /** Return the cache of a prompt's beginning: pieces are arrays of ids, or features. */
  async prefix(pieces) {
    return (await this.#step(await this.#embed(pieces), this.#emptyCache())).cache;
  }

  /**
   * Continue a cached prefix greedily.
   *
   * @returns `ids`, and `attention` (steps * tapped layers * tokens) to the image that ends the
   *     prefix, with the number of `steps`.
   */
  async answer(pieces, prefix, maxNewTokens) {
    const { eos_token_ids: ends } = this.#manifest.decoder;
    const ids = [];
    const rows = [];
    let cache = prefix;
    let embeds = await this.#embed(pieces);
    for (;;) {
      const made = await this.#step(embeds, cache);
      cache = made.cache;
      rows.push(this.#imageRow(made.row, cache.length, prefix.length));
      const id = largest(made.logits);
      if (ends.includes(id)) break;
      ids.push(id);
      if (rows.length === maxNewTokens) break;
      embeds = await this.#embed([[id]]);
    }
    return { ids, attention: concatenated(rows), steps: rows.length };
  }

  /** Refuse a prompt that does not fit into the model's context. */
  requireRoom(pieces, maxNewTokens) {
    const length = pieces.reduce(
      (sum, piece) => sum + (Array.isArray(piece) ? piece.length : this.#tokens),
      0,
    );
    const limit = this.#manifest.decoder.context_length;
    require(
      length + maxNewTokens - 1 <= limit,
      "prompt",
      `The prompt of ${length} tokens and ${maxNewTokens} new ones need more than the model's ` +
        `${limit} positions. Shorten the question, or lower maxNewTokens.`,
    );
  }

  #imageRow(row, length, imageEnd) {
    const tokens = this.#tokens;
    const layers = this.#manifest.decoder.tapped_layers.length;
    requireLength("last_row", row, layers * length);
    const cut = new Float32Array(layers * tokens);
    for (let layer = 0; layer < layers; layer++) {
      const end = layer * length + imageEnd;
      cut.set(row.subarray(end - tokens, end), layer * tokens);
    }
    require(cut.every(Number.isFinite), "run", "The decoder's attention is not finite.");
    return cut;
  }

  async #embed(pieces) {
    const parts = [];
    for (const piece of pieces) {
      if (!Array.isArray(piece)) parts.push(piece);
      else if (piece.length) {
        const { inputs_embeds } = await this.run("embed", { input_ids: this.#integers(piece) });
        requireLength("inputs_embeds", inputs_embeds.data, piece.length * this.#hidden);
        parts.push(inputs_embeds.data);
      }
    }
    return concatenated(parts);
  }

  get #hidden() {
    return this.#manifest.decoder.hidden_size;
  }

  #emptyCache() {
    const { layers, key_value_heads, head_dim } = this.#manifest.decoder;
    const dims = [1, key_value_heads, 0, head_dim];
    const values = {};
    for (let layer = 0; layer < layers; layer++) {
      for (const kind of ["key", "value"]) {
        values[`${layer}.${kind}`] = this.tensor("float32", new Float32Array(0), dims);
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
      inputs_embeds: this.tensor("float32", embeds, [1, count, this.#hidden]),
      attention_mask: this.#integers(new Array(length).fill(1)),
      position_ids: this.#integers(positions),
    };
    for (const [name, value] of Object.entries(cache.values)) {
      feeds[`past_key_values.${name}`] = value;
    }
    const made = await this.run("decoder", feeds);
    requireLength("logits", made.logits.data, this.#manifest.decoder.vocab_size);
    const values = Object.fromEntries(
      Object.keys(cache.values).map((name) => [name, made[`present.${name}`]]),
    );
    return {
      logits: made.logits.data,
      row: made["decoder_attentions.last_row"].data,
      cache: { values, length },
    };
  }
}

function requireLength(name, data, wanted) {
  require(
    data.length === wanted,
    "bundle",
    `The graph's output ${name} has ${data.length} numbers, expected ${wanted}. Copy the bundle ` +
      "again, or export it again.",
  );
}

function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function concatenated(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
