/** One image and any number of questions about it. */
import { refine } from "./refine.js";
import { changedSettings } from "./settings.js";

/** Made by Carve.open. What depends on the image alone is computed once. */
export class ImageSession {
  #model;
  #image;
  #run;
  #encoded;
  #general = null;
  #generalLimit = 0;

  constructor(model, image, run, encoded) {
    this.#model = model;
    this.#image = image;
    this.#run = run;
    this.#encoded = encoded;
  }

  /** Encode an RGB image; `run` runs what uses the model, one call at a time. */
  static async open(model, image, run) {
    return new ImageSession(model, image, run, await encode(model, image));
  }

  /** Answer as Carve.plain does. */
  async plain(question, changes = {}) {
    const { manifest, settings, text } = this.#model;
    const { maxNewTokens } = changedSettings(settings, changes, manifest);
    const parts = this.#model.promptParts("single", question);
    this.#model.checkContextBudget(parts, maxNewTokens);
    return this.#run(async () => {
      const { ids } = await this.#answer(parts, maxNewTokens);
      return { answer: text.decode(ids), ids };
    });
  }

  /** Answer as Carve.ask does; `onPart` is called with what is known after each pass. */
  async ask(question, changes = {}, onPart = () => {}) {
    const { manifest, text } = this.#model;
    const settings = changedSettings(this.#model.settings, changes, manifest);
    const { maxNewTokens, finalPrompt } = settings;
    const single = this.#model.promptParts("single", question);
    const final = finalPrompt === "pair" ? this.#model.promptParts("pair", question) : single;
    this.#model.checkContextBudget(final, maxNewTokens);
    return this.#run(async () => {
      const result = { settings, window: Array.from(this.#encoded.window) };
      const add = (part) => onPart({ ...Object.assign(result, part) });
      const plain = await this.#answer(single, maxNewTokens);
      const plainAnswer = text.decode(plain.ids);
      add({ plainAnswer, plainIds: plain.ids, questionAttention: plain });
      const general = await this.#generalPass(plain, settings);
      add({ generalAttention: general });
      add(await this.#refine(plain, general, settings));
      const { ids } = await this.#finalPass(final, result.refinedImage, settings);
      return { ...result, answer: text.decode(ids), ids };
    });
  }

  /** Do steps 3 to 7 again on a result's attention, with changed settings: the model does not run. */
  async refineAgain(result, changes) {
    const settings = changedSettings(result.settings, changes, this.#model.manifest);
    return this.#run(async () => {
      const general = await this.#generalPass(result.questionAttention, settings);
      const refined = await this.#refine(result.questionAttention, general, settings);
      return { ...refined, generalAttention: general };
    });
  }

  /** Answer a prompt about the session's image. */
  #answer(parts, maxNewTokens) {
    const { features, prefix } = this.#encoded;
    return this.#model.generate(parts, [features], prefix, maxNewTokens);
  }

  /** The general instruction's attention, as many steps as are used; null if none is. */
  async #generalPass(question, settings) {
    if (settings.contrast === "off") return null;
    const steps = settings.steps === "first" ? 1 : question.steps;
    if (this.#generalLimit < steps) {
      const parts = this.#model.promptParts("single", this.#model.manifest.prompts.general);
      this.#model.checkContextBudget(parts, steps);
      this.#general = await this.#answer(parts, steps);
      this.#generalLimit = steps;
    }
    return this.#general;
  }

  #refine(question, general, settings) {
    const { graphs, manifest } = this.#model;
    const subject = { image: this.#image, window: this.#encoded.window, question, general };
    return refine(graphs, manifest, subject, settings);
  }

  async #finalPass(parts, refined, { finalPrompt, maxNewTokens }) {
    if (finalPrompt === "pair") {
      const { features } = await this.#model.encodeImage(refined);
      const images = [this.#encoded.features, features];
      return this.#model.generate(parts, images, this.#encoded.prefix, maxNewTokens);
    }
    const { features, prefix } = await encode(this.#model, refined);
    return this.#model.generate(parts, [features], prefix, maxNewTokens);
  }
}

/** Return an image's `features`, its `window`, and the `prefix` of all prompts about it. */
async function encode(model, image) {
  const { features, window } = await model.encodeImage(image);
  return { features, window, prefix: await model.prefill(features) };
}
