/** The attention of one greedy pass, over all that it read and wrote. */
import { FEATURE } from "../bundle_format.js";
import { CarveError, ensure } from "../errors.js";
import { entropyOf } from "../method/attention.js";
import { place } from "../method/placement.js";

/** How many times the mean of a row a position receives to be called a sink. */
const SINK_FACTOR = 10;

/**
 * What a greedy pass has attended to; Attention in index.d.ts explains its fields. They are plain
 * data, so that it can be sent between threads: `new Attention(received)`.
 */
export class Attention {
  constructor({ rows, layers, ids, tokens, words, answer, mapTokens, grid, window, imageSize }) {
    const fields = { rows, layers, ids, tokens, words, answer, mapTokens, grid, window, imageSize };
    Object.assign(this, fields);
  }

  get steps() {
    return this.words.length;
  }

  get positions() {
    return this.ids.length;
  }

  /** What one step attends to, over what it read; the mean over layers unless one is named. */
  row(step = 0, layer = undefined) {
    const index = this.#step(step);
    const layers = layer === undefined ? [...this.layers.keys()] : [this.#layer(layer)];
    const mean = new Float32Array(this.#length(index));
    for (const each of layers) {
      const row = this.#rowOf(index, each);
      for (let i = 0; i < mean.length; i++) mean[i] += row[i] / layers.length;
    }
    return mean;
  }

  /** The attention to the image, rows * columns of the grid. */
  gridMap(step, layer) {
    const row = this.row(step, layer);
    return Float32Array.from(this.mapTokens, (position) => row[position]);
  }

  /** The attention in the picture's coordinates, height * width; NaN where the model saw nothing. */
  map(step, layer) {
    return place(this.gridMap(step, layer), this.grid, this.imageSize, this.window);
  }

  /** What is read as text, in order, each with its share. */
  overText(step, layer) {
    const row = this.row(step, layer);
    const read = [...row].map((share, i) => ({ token: this.tokens[i], share }));
    return read.filter((_, i) => this.ids[i] !== FEATURE);
  }

  /** The entropy over the map's tokens in nats, a list for each step of a number for each layer. */
  entropy() {
    return this.#figures((row) => entropyOf(Float32Array.from(this.mapTokens, (i) => row[i])));
  }

  /** The share that falls on image tokens, a list for each step of a number for each layer. */
  mass() {
    return this.#figures((row) =>
      row.reduce((sum, share, i) => (this.ids[i] === FEATURE ? sum + share : sum), 0),
    );
  }

  /** The positions that receive `factor` times the mean in every step, whatever is decided. */
  sinks(factor = SINK_FACTOR) {
    const isFactor = typeof factor === "number" && factor > 0;
    ensure(isFactor, "settings", `factor is ${factor}. Give a number above 0.`);
    const means = Array.from({ length: this.steps }, (_, step) => this.row(step));
    const receives = (position) => means.every((row) => row[position] * row.length >= factor);
    return [...means[0].keys()].filter(receives);
  }

  #figures(figure) {
    return Array.from({ length: this.steps }, (_, step) =>
      this.layers.map((_, layer) => figure(this.#rowOf(step, layer))),
    );
  }

  #rowOf(step, layer) {
    const start = (step * this.layers.length + layer) * this.positions;
    return this.rows.subarray(start, start + this.positions);
  }

  /** How many positions a step read: the last one all of them. */
  #length(step) {
    return this.positions - (this.steps - 1 - step);
  }

  #step(step) {
    const known = Number.isInteger(step) && step >= -this.steps && step < this.steps;
    ensure(known, "settings", `step is ${step}. Give one from 0 to ${this.steps - 1}.`);
    return step < 0 ? step + this.steps : step;
  }

  #layer(layer) {
    const index = this.layers.indexOf(layer);
    if (index >= 0) return index;
    throw new CarveError(
      "settings",
      `layer ${layer} is not here, this bundle has ${this.layers.join(", ")}. Choose one of them, ` +
        "or export the checkpoint with --layers.",
    );
  }
}
