/** Ask a question about an image, plainly and through CARVE (docs/method.md). */
import { readBundle } from "./bundle.js";
import { DEFAULT_MAX_ASPECT_RATIO } from "./bundle_format.js";
import { ensure } from "./errors.js";
import { Graphs } from "./graphs.js";
import { toRgb } from "./image.js";
import { Model } from "./model.js";
import { ImageSession } from "./session.js";
import { defaultSettings } from "./settings.js";
import { Text } from "./text.js";

/** A loaded bundle. Calls may overlap; they run one after the other. */
export class Carve {
  #model;
  #last = Promise.resolve();
  #released = null;

  constructor(model) {
    this.#model = model;
  }

  /**
   * Load a bundle.
   *
   * @param source has `read(path, onBytes)`, which resolves to a file's bytes.
   * @param options `ort` (onnxruntime-node or onnxruntime-web), `cpu` (the name of its CPU
   *     provider), `providers` (of the model's graphs, best first; the CPU's by default), `verify`
   *     (compare SHA-256 sums; true by default), `onProgress` (called with `(loaded, total)` in
   *     bytes, over all files).
   */
  static async load(source, { ort, cpu, providers, verify = true, onProgress } = {}) {
    ensure(ort?.InferenceSession && cpu, "settings", "Pass ort, an ONNX Runtime, and its cpu.");
    const bundle = await readBundle(source, { verify, onProgress });
    const { manifest } = bundle;
    const { image_token_id, eos_token_ids } = manifest.decoder;
    const settings = defaultSettings(manifest);
    const text = new Text(bundle.tokenizer, [image_token_id, ...eos_token_ids]);
    const graphs = await Graphs.load(ort, bundle.graphs, providers ?? [cpu], cpu);
    return new Carve(new Model({ manifest, settings, text, graphs }));
  }

  /** What the bundle says of itself: carve.json. */
  get manifest() {
    return this.#model.manifest;
  }

  /** The bundle's default settings. */
  get settings() {
    return { ...this.#model.settings };
  }

  /** Look at an image once, to ask several questions about it. */
  async open(image) {
    const { max_aspect_ratio } = this.#model.manifest.image;
    const pixels = toRgb(image, max_aspect_ratio ?? DEFAULT_MAX_ASPECT_RATIO);
    const run = (call) => this.#exclusively(call);
    return run(() => ImageSession.open(this.#model, pixels, run));
  }

  /** Answer a question through CARVE; `changes` are settings that replace the bundle's. */
  async ask(image, question, changes = {}) {
    return (await this.open(image)).ask(question, changes);
  }

  /** Answer a question with one pass over the whole image. */
  async plain(image, question, changes = {}) {
    return (await this.open(image)).plain(question, changes);
  }

  /** Free ONNX Runtime's memory; the instance cannot be used afterwards. */
  async release() {
    this.#released ??= this.#exclusively(() => this.#model.graphs.release());
    await this.#released;
  }

  /** A session runs once at a time: wait for what came before. */
  #exclusively(call) {
    const done = this.#last.then(call);
    this.#last = done.catch(() => {});
    return done;
  }
}
