/** Ask a question about an image, plainly and through CARVE (docs/method.md). */
import { readBundle } from "./bundle/bundle.js";
import { DEFAULT_MAX_ASPECT_RATIO } from "./bundle_format.js";
import { ensure } from "./errors.js";
import { decoded } from "./images/decode.js";
import { Graphs } from "./model/graphs.js";
import { Model } from "./model/model.js";
import {
  checkedAttending,
  checkedOptions,
  checkedSignal,
  requireObject,
  unlessAborted,
} from "./options.js";
import { ImageSession } from "./session.js";
import { changedSettings, defaultSettings } from "./settings.js";
import { TokenStream } from "./stream.js";
import { Text } from "./text.js";

/** A loaded bundle. Calls may overlap; they run one after the other. */
export class Carve {
  #model;
  #decode;
  #last = Promise.resolve();
  #released = null;

  constructor(model, decode) {
    this.#model = model;
    const maxAspectRatio = model.manifest.image.max_aspect_ratio ?? DEFAULT_MAX_ASPECT_RATIO;
    this.#decode = (image, signal) => decoded(image, { decode, maxAspectRatio, signal });
  }

  /**
   * Load a bundle.
   *
   * @param source see Source in index.d.ts.
   * @param options `ort` (onnxruntime-node or onnxruntime-web), `cpu` (the name of its CPU
   *     provider), `providers` (of the model's graphs, best first; the CPU's by default), `verify`
   *     (compare SHA-256 sums; true by default), `onProgress` (called with `(loaded, total)` in
   *     bytes, over all files), `decode` (pictures to pixels) and `signal`.
   */
  static async load(source, options = {}) {
    const { ort, cpu, providers, verify = true, onProgress, decode, signal } = options;
    ensure(ort?.InferenceSession && cpu, "settings", "Pass ort, an ONNX Runtime, and its cpu.");
    checkedSignal(signal);
    const bundle = await readBundle(source, { verify, onProgress, signal });
    const { manifest } = bundle;
    const { image_token_id, eos_token_ids } = manifest.decoder;
    const settings = defaultSettings(manifest);
    const text = new Text(bundle.tokenizer, [image_token_id, ...eos_token_ids]);
    const given = { providers: providers ?? [cpu], cpu, signal };
    const graphs = await Graphs.load(ort, bundle.graphs, given);
    return new Carve(new Model({ manifest, settings, text, graphs }), decode);
  }

  /** What the bundle says of itself: carve.json. */
  get manifest() {
    return this.#model.manifest;
  }

  /** The bundle's default settings. */
  get settings() {
    return structuredClone(this.#model.settings);
  }

  /** Look at an image once, to ask several questions about it. */
  async open(image, options = {}) {
    requireObject(options);
    const { scoutPixels, signal } = options;
    checkedSignal(signal);
    const settings = changedSettings(this.settings, { scoutPixels }, this.manifest);
    return this.#open(image, settings.scoutPixels, { signal });
  }

  /** Answer a question through CARVE; `changes` are settings that replace the bundle's. */
  async ask(image, question, changes = {}, options = {}) {
    const { signal } = checkedOptions(options);
    const settings = changedSettings(this.settings, changes, this.manifest);
    const lower = settings.earlyExit;
    const session = await this.#open(image, settings.scoutPixels, { lower, signal });
    return session.ask(question, changes, options);
  }

  /** Answer as `ask` does, and give the tokens of all passes meanwhile. */
  stream(image, question, changes = {}, options = {}) {
    const start = (given) => this.ask(image, question, changes, { ...options, ...given });
    return new TokenStream(start, options);
  }

  /** Answer a question with one pass over the whole image, or about the pair with `refined`. */
  async plain(image, question, changes = {}, options = {}) {
    requireObject(options);
    const { refined, ...given } = options;
    const { signal } = checkedOptions(given);
    const session = await this.#open(image, null, { signal });
    return session.plain(question, changes, options);
  }

  /** Return where the model looks while it reads a text about an image, and answers it. */
  async attend(image, text, options = {}) {
    const { signal } = checkedAttending(options);
    const session = await this.#open(image, null, { signal });
    return session.attend(text, options);
  }

  /** Free ONNX Runtime's memory; the instance cannot be used afterwards. */
  async release() {
    this.#released ??= this.#next(() => this.#model.graphs.release());
    await this.#released;
  }

  async #open(image, scoutPixels, { lower = false, signal }) {
    const decode = this.#decode;
    const pixels = await decode(image, signal);
    const run = (call, stop) => this.#exclusively(call, stop);
    const context = { run, decode, scoutPixels, lower, signal };
    return run(() => ImageSession.open(this.#model, pixels, context), signal);
  }

  async #exclusively(call, signal) {
    ensure(!this.#released, "run", "The bundle was released. Load it again.");
    return this.#next(call, signal);
  }

  /** A graph runs once at a time: wait for what came before. */
  #next(call, signal) {
    const done = this.#last.then(() => {
      signal?.throwIfAborted();
      return call();
    });
    this.#last = done.catch(() => {});
    return unlessAborted(done, signal);
  }
}
