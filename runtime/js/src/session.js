/** One image and any number of questions about it. */
import { collect } from "./attention/collect.js";
import { ensure } from "./errors.js";
import { changeBetween } from "./images/change.js";
import { reasonToSkip } from "./method/adaptive.js";
import { attentionEntropy, rowsOf } from "./method/attention.js";
import { refine, unrefined } from "./method/refine.js";
import { checkedAttending, checkedOptions, requireObject } from "./options.js";
import { changedSettings, contrastOf } from "./settings.js";
import { TokenStream } from "./stream.js";

/** Made by Carve.open. What depends on the image alone is computed once. */
export class ImageSession {
  #model;
  #pixels;
  #run;
  #decode;
  #scoutPixels;
  #opened;
  #general = null;

  constructor(model, pixels, { run, decode, scoutPixels }, opened) {
    this.#model = model;
    this.#pixels = pixels;
    this.#run = run;
    this.#decode = decode;
    this.#scoutPixels = scoutPixels;
    this.#opened = opened;
  }

  /**
   * Encode an RGB image.
   *
   * @param context `run` (runs what uses the model, one call at a time), `decode` (an image to RGB),
   *     `scoutPixels` (the setting, for all questions), `lower` (begin with the lower half of the
   *     decoder) and `signal`.
   */
  static async open(model, pixels, context) {
    const { scoutPixels: maxPixels, lower, signal } = context;
    await model.checkPixels({ scoutPixels: maxPixels, finalPixels: null });
    const opened = await model.open(pixels, { maxPixels, lower, signal });
    return new ImageSession(model, pixels, context, opened);
  }

  /** Answer as Carve.plain does. */
  async plain(question, changes = {}, options = {}) {
    requireObject(options);
    const { refined, ...given } = options;
    const { signal, onToken } = checkedOptions(given);
    const { manifest, settings, text } = this.#model;
    const { maxNewTokens } = changedSettings(settings, changes, manifest);
    const parts = this.#model.promptParts(refined === undefined ? "single" : "pair", question);
    const second = refined === undefined ? null : await this.#decode(refined, signal);
    return this.#run(async () => {
      const opened = await this.#complete();
      const images = [opened.image];
      if (second) images.push(await this.#encodeSecond(second, parts, { maxNewTokens }, signal));
      const listener = this.#listener(second ? "final" : "question", onToken);
      const given = { maxNewTokens, listener, signal };
      const { ids, probability } = await this.#model.generate(opened, parts, images, given);
      return { answer: text.decode(ids), ids, probability };
    }, signal);
  }

  /** Answer as Carve.ask does. */
  async ask(question, changes = {}, options = {}) {
    const { signal, onToken, onPart } = checkedOptions(options);
    const settings = this.#settings(changes);
    const single = this.#model.promptParts("single", question);
    const pair = settings.finalPrompt === "pair";
    const final = pair ? this.#model.promptParts("pair", question) : single;
    const request = { settings, single, final, signal, onToken, onPart };
    return this.#run(() => this.#answer(request), signal);
  }

  /** Answer as `ask` does, and give the tokens of all passes meanwhile. */
  stream(question, changes = {}, options = {}) {
    return new TokenStream(
      (given) => this.ask(question, changes, { ...options, ...given }),
      options,
    );
  }

  /** Return the attention as Carve.attend does. */
  async attend(text, options = {}) {
    const { generate, signal, onToken } = checkedAttending(options);
    const parts = this.#model.promptParts("single", text);
    const { width, height } = this.#pixels;
    const listener = this.#listener("question", onToken);
    const given = { generate, imageSize: [width, height], listener, signal };
    return this.#run(
      async () => collect(this.#model, await this.#complete(), parts, given),
      signal,
    );
  }

  /** Return how much another image differs from this one, as the model sees both. */
  async change(image, options = {}) {
    const { signal } = checkedOptions(options);
    const other = await this.#decode(image, signal);
    const { width, height } = this.#pixels;
    if (other.width !== width || other.height !== height) return Infinity;
    return this.#run(async () => {
      const seen = await this.#model.see(other, this.#scoutPixels);
      return changeBetween(this.#opened.image, seen, this.#model.manifest.image);
    }, signal);
  }

  /** Do steps 3 to 7 again on a result's attention, with changed settings: the model does not run. */
  async refineAgain(result, changes = {}, options = {}) {
    const { signal } = checkedOptions(options);
    const settings = changedSettings(result.settings, changes, this.#model.manifest);
    const { questionAttention: question } = result;
    ensure(
      settings.layers.every((layer) => question.layers.includes(layer)),
      "settings",
      "The result has no attention of some of these layers: it was made with earlyExit. Ask again.",
    );
    return this.#run(async () => {
      const general = await this.#generalPass(question, { settings, signal });
      const refined = await this.#refine(question, general, settings);
      return { ...refined, generalAttention: structuredClone(general) };
    }, signal);
  }

  #settings(changes) {
    const { manifest, settings: defaults } = this.#model;
    const given = { ...changes };
    if (given.scoutPixels === undefined) given.scoutPixels = this.#scoutPixels;
    const settings = changedSettings(defaults, given, manifest);
    ensure(
      settings.scoutPixels === this.#scoutPixels,
      "settings",
      `scoutPixels is ${settings.scoutPixels}, the image was opened with ${this.#scoutPixels}. Open ` +
        "the image with the scoutPixels that the questions need.",
    );
    return settings;
  }

  /** Run the whole method; `onPart` is called with what is known after each pass. */
  async #answer(request) {
    const { settings, final, onPart } = request;
    const { text } = this.#model;
    await this.#model.checkPixels(settings);
    const { image, prefix } = this.#opened;
    if (settings.finalPrompt === "pair")
      this.#model.checkContext(prefix.cache.length, final, [image], settings.maxNewTokens);
    const result = { settings, grid: [...image.grid], window: [...image.window] };
    const add = (part) => onPart({ ...Object.assign(result, part) });
    const question = await this.#questionPass(request);
    const { answered } = question;
    const entropy = attentionEntropy(rowsOf(question.pass, settings.layers));
    add({
      plainAnswer: answered ? text.decode(question.pass.ids) : null,
      plainIds: answered ? question.pass.ids : null,
      plainProbability: answered ? question.pass.probability : null,
      questionAttention: question.pass,
      entropy,
    });
    const skipped = answered ? reasonToSkip(entropy, question.pass.probability, settings) : null;
    add({ skipped });
    if (skipped !== null) {
      const { plainAnswer: answer, plainIds: ids, plainProbability: probability } = result;
      const kept = { answer, ids, probability };
      return { ...result, ...unrefined(this.#pixels), generalAttention: null, ...kept };
    }
    const general = await this.#generalPass(question.pass, request);
    add({ generalAttention: structuredClone(general) }); // the session keeps its own
    add(await this.#refine(question.pass, general, settings));
    const { ids, probability } = await this.#finalPass(result.refinedImage, request);
    return { ...result, answer: text.decode(ids), ids, probability };
  }

  /** Return the question's `pass`, and whether it has answered: after an early exit it has not. */
  async #questionPass({ settings, single, signal, onToken }) {
    if (settings.earlyExit) {
      return { pass: await this.#model.attend(this.#opened, single), answered: false };
    }
    const opened = await this.#complete();
    const { maxNewTokens } = settings;
    const options = { maxNewTokens, listener: this.#listener("question", onToken), signal };
    const pass = await this.#model.generate(opened, single, [opened.image], options);
    return { pass, answered: true };
  }

  /** The general instruction's attention, as many steps as are used; null if none is. */
  async #generalPass(question, { settings, signal, onToken }) {
    if (contrastOf(settings) === "off") return null;
    const steps = settings.steps === "first" ? 1 : question.steps;
    const known = this.#general;
    const enough = known !== null && known.limit >= steps;
    if (!enough || !settings.layers.every((layer) => known.pass.layers.includes(layer))) {
      const parts = this.#model.promptParts("single", this.#model.manifest.prompts.general);
      signal?.throwIfAborted();
      const pass = settings.earlyExit
        ? await this.#model.attend(this.#opened, parts)
        : await this.#generateGeneral(parts, steps, signal, onToken);
      this.#general = { pass, limit: steps };
    }
    return this.#general.pass;
  }

  async #generateGeneral(parts, maxNewTokens, signal, onToken) {
    const opened = await this.#complete();
    const options = { maxNewTokens, listener: this.#listener("general", onToken), signal };
    return this.#model.generate(opened, parts, [opened.image], options);
  }

  #refine(question, general, settings) {
    const { grid, window } = this.#opened.image;
    const subject = { image: this.#pixels, grid, window, question, general };
    return refine(this.#model.graphs, subject, settings);
  }

  /** Ask again, about the pair or about the refined image alone. */
  async #finalPass(refined, { settings, final, signal, onToken }) {
    const { finalPrompt, finalPixels: maxPixels, maxNewTokens } = settings;
    const options = { maxNewTokens, listener: this.#listener("final", onToken), signal };
    signal?.throwIfAborted();
    if (finalPrompt === "pair") {
      const opened = await this.#complete();
      const second = await this.#encodeSecond(refined, final, settings, signal);
      return this.#model.generate(opened, final, [opened.image, second], options);
    }
    const opened = await this.#model.open(refined, { maxPixels, signal });
    return this.#model.generate(opened, final, [opened.image], options);
  }

  /** Encode the second image of the pair, if the prompt with both of them fits. */
  async #encodeSecond(pixels, parts, { finalPixels = null, maxNewTokens }, signal) {
    const { image, prefix } = this.#opened;
    const seen = await this.#model.see(pixels, finalPixels);
    this.#model.checkContext(prefix.cache.length, parts, [image, seen], maxNewTokens);
    signal?.throwIfAborted();
    return this.#model.encode(seen);
  }

  /** What was opened, with the upper half of the decoder filled too. */
  async #complete() {
    return (this.#opened = await this.#model.complete(this.#opened));
  }

  /** Return what is told of each id of a pass and of its end, and passes text on. */
  #listener(stage, onToken) {
    if (!onToken) return undefined;
    const streamer = this.#model.text.streamer();
    const tell = (text) => text && onToken({ stage, text });
    return { take: (id) => tell(streamer.push(id)), end: () => tell(streamer.end()) };
  }
}
