/** Images and token ids to embeddings: what of a bundle comes before the decoder. */
import { decoderParts } from "../bundle/bundle.js";
import * as format from "../bundle_format.js";
import { ensure } from "../errors.js";
import { ensureLength } from "./graphs.js";

/** The smallest image there is, to ask the image rule about itself. */
const TINY = { data: new Uint8Array(2 * 2 * 3), width: 2, height: 2 };

export class Embedder {
  #graphs;
  #manifest;
  #leastPixels;

  constructor(manifest, graphs) {
    this.#manifest = manifest;
    this.#graphs = graphs;
    /** The type of embeddings, features and caches. */
    this.dtype = manifest.dtype ?? "float32";
    this.hidden = manifest.decoder.hidden_size;
    /** Axes of position ids: several under M-RoPE. */
    this.axes = axesOf(manifest);
  }

  /** Return an array of numbers of the bundle's type. */
  numbers(length) {
    return this.#graphs.numbers(this.dtype, length);
  }

  /** Refuse a budget of pixels that the model cannot keep to; null is none. */
  async checkPixels(maxPixels, name) {
    if (maxPixels === null) return;
    const probe = async () =>
      Number((await this.#graphs.preprocess(TINY, 0))[format.LEAST_PIXELS].data[0]);
    const least = (this.#leastPixels ??= await probe());
    ensure(
      least > 0,
      "settings",
      `${name} is ${maxPixels}, and this model sees every image at one size. Set no limit of ` +
        "pixels, or use a model that sees images at several sizes.",
    );
    ensure(
      maxPixels >= least,
      "settings",
      `${name} is ${maxPixels}, and the smallest image of this model has ${least} pixels. Allow ` +
        "at least as many.",
    );
  }

  /**
   * Say what the model sees of an RGB image.
   *
   * @returns `feeds` of the vision encoder, `ids` (what the image contributes to a prompt), their
   *     `positions` (an array for each axis) and `nextPosition`, relative to the image's first one,
   *     `mapTokens` (which of the ids form the attention map), its `grid` and `window`.
   */
  async see(image, maxPixels) {
    const outputs = await this.#graphs.preprocess(image, maxPixels ?? 0);
    const names = this.#manifest.graphs[format.VISION_ENCODER].inputs.map(({ name }) => name);
    const numbers = (name) => Array.from(outputs[name].data, Number);
    const ids = numbers(format.IMAGE_IDS);
    return {
      feeds: Object.fromEntries(names.map((name) => [name, outputs[name]])),
      ids,
      positions: split(numbers(format.IMAGE_POSITIONS), ids.length),
      nextPosition: numbers(format.NEXT_POSITION)[0],
      mapTokens: numbers(format.MAP_TOKENS),
      grid: numbers(format.GRID),
      window: numbers(format.WINDOW),
    };
  }

  /** Return what the model saw with its `features` and, for the first layers, `deepstack` ones. */
  async encode(seen) {
    const outputs = await this.#graphs.run("vision", seen.feeds);
    const { data: features } = outputs[format.IMAGE_FEATURES];
    const tokens = seen.ids.filter((id) => id === format.FEATURE).length;
    ensureLength(format.IMAGE_FEATURES, features, tokens * this.hidden);
    const layers = this.#manifest.decoder.deepstack_layers ?? 0;
    const deepstack = layers ? outputs[format.DEEPSTACK_FEATURES].data : null;
    if (layers) ensureLength(format.DEEPSTACK_FEATURES, deepstack, layers * tokens * this.hidden);
    return { ...seen, features, deepstack, tokens };
  }

  /**
   * Return consecutive parts of a prompt as the decoder takes them.
   *
   * @param parts token ids, and indices into `images`.
   * @param images encoded; all that the parts name.
   * @param start the position id of the first token.
   * @returns `count` of tokens, `embeds` (count * hidden), `positions` (an array for each axis),
   *     `nextPosition`, and `deepstack` (layers * count * hidden; or null).
   */
  async chunk(parts, images, start) {
    const runs = parts.map((part) =>
      typeof part === "number" ? images[part] : textRun(part, this.axes),
    );
    const ids = runs.flatMap((run) => run.ids);
    const literal = ids.filter((id) => id !== format.FEATURE);
    const texts = literal.length ? await this.#embedIds(literal) : this.numbers(0);
    const embeds = this.numbers(ids.length * this.hidden);
    const positions = Array.from({ length: this.axes }, () => []);
    const layers = this.#manifest.decoder.deepstack_layers ?? 0;
    const deepstack = layers ? this.numbers(layers * ids.length * this.hidden) : null;
    const size = this.hidden;
    let [at, text, nextPosition] = [0, 0, start];
    for (const run of runs) {
      let feature = 0;
      for (const id of run.ids) {
        const isText = id !== format.FEATURE;
        const from = isText ? text++ : feature++;
        const source = isText ? texts : run.features;
        embeds.set(source.subarray(from * size, (from + 1) * size), at * size);
        for (let layer = 0; layer < layers && !isText; layer++) {
          const row = layer * run.tokens + from;
          const added = run.deepstack.subarray(row * size, (row + 1) * size);
          deepstack.set(added, (layer * ids.length + at) * size);
        }
        at++;
      }
      const begin = nextPosition;
      run.positions.forEach((axis, i) => axis.forEach((each) => positions[i].push(begin + each)));
      nextPosition += run.nextPosition;
    }
    return { count: ids.length, embeds, positions, nextPosition, deepstack };
  }

  async #embedIds(ids) {
    const feeds = { [format.INPUT_IDS]: this.#graphs.integers(ids) };
    const outputs = await this.#graphs.run("embed", feeds);
    const { data } = outputs[format.INPUTS_EMBEDS];
    ensureLength(format.INPUTS_EMBEDS, data, ids.length * this.hidden);
    return data;
  }
}

/** The decoder's own declaration says how many axes positions have. */
function axesOf({ graphs, decoder }) {
  const [first] = decoderParts(decoder);
  const { shape } = graphs[first.name].inputs.find((input) => input.name === format.POSITION_IDS);
  return shape.length === 3 ? shape[0] : 1;
}

/** Text counts up by one on all axes. */
function textRun(ids, axes) {
  const counted = ids.map((_, i) => i);
  return { ids, positions: Array.from({ length: axes }, () => counted), nextPosition: ids.length };
}

function split(values, length) {
  const count = length ? values.length / length : 0;
  return Array.from({ length: count }, (_, i) => values.slice(i * length, (i + 1) * length));
}
