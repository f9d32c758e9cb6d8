/** One image and any number of questions about it. */
import { require } from "./errors.js";
import { refine } from "./refine.js";
import { changedSettings } from "./settings.js";
import { questionText } from "./text.js";

/** Made by Carve.open. What depends on the image alone is computed once. */
export class ImageSession {
  #model;
  #image;
  #run;
  #view;
  #general = null;
  #generalLimit = 0;

  constructor(model, image, run, view) {
    this.#model = model;
    this.#image = image;
    this.#run = run;
    this.#view = view;
  }

  /** Look at an RGB image; `run` runs work on the model alone. */
  static async look(model, image, run) {
    return new ImageSession(model, image, run, await look(model, image));
  }

  /** Answer as Carve.plain does. */
  async plain(question, changes = {}) {
    const { engine, manifest, settings, text } = this.#model;
    const { maxNewTokens } = changedSettings(settings, changes, manifest);
    const pieces = this.#pieces("single", question, [this.#view.features]);
    engine.requireRoom(pieces, maxNewTokens);
    return this.#run(async () => {
      const { ids } = await this.#answer(pieces, this.#view, maxNewTokens);
      return { answer: text.decode(ids), ids };
    });
  }

  /** Answer as Carve.ask does; `onPart` is told what is known after each pass. */
  async ask(question, changes = {}, onPart = () => {}) {
    const { engine, manifest, text } = this.#model;
    const settings = changedSettings(this.#model.settings, changes, manifest);
    const { maxNewTokens, finalPrompt } = settings;
    const single = this.#pieces("single", question, [this.#view.features]);
    // The features of the refined image do not exist yet; their number is known.
    const placeholder = new Float32Array(0);
    const last = finalPrompt === "pair" ? [this.#view.features, placeholder] : [placeholder];
    const name = finalPrompt === "pair" ? "pair" : "single";
    engine.requireRoom(this.#pieces(name, question, last), maxNewTokens);
    return this.#run(async () => {
      const result = { settings, window: Array.from(this.#view.window) };
      const add = (part) => onPart({ ...Object.assign(result, part) });
      const plain = await this.#answer(single, this.#view, maxNewTokens);
      const plainAnswer = text.decode(plain.ids);
      add({ plainAnswer, plainIds: plain.ids, questionAttention: plain });
      const general = await this.#generalPass(plain, settings);
      add({ generalAttention: general });
      add(await this.#refine(plain, general, settings));
      const final = await this.#finalPass(question, result.refinedImage, settings);
      return { ...result, answer: text.decode(final.ids), ids: final.ids };
    });
  }

  /** Do steps 3 to 7 again on a result's attention, with other settings: no model runs. */
  async refineAgain(result, changes) {
    const settings = changedSettings(result.settings, changes, this.#model.manifest);
    return this.#run(async () => {
      const general = await this.#generalPass(result.questionAttention, settings);
      const refined = await this.#refine(result.questionAttention, general, settings);
      return { ...refined, generalAttention: general };
    });
  }

  /** Return a prompt's pieces: arrays of ids, and features. */
  #pieces(name, question, images) {
    const { manifest, text } = this.#model;
    const asked = questionText(question, manifest.prompts);
    return manifest.prompts[name].map(({ ids, image, text: template }) => {
      if (ids) return ids;
      if (template) return text.encode(template.replaceAll("{text}", () => asked));
      return images[image];
    });
  }

  /** Answer after a view's prefix, whose segments all prompts share. */
  #answer(pieces, view, maxNewTokens) {
    const rest = pieces.slice(view.segments);
    return this.#model.engine.answer(rest, view.prefix, maxNewTokens);
  }

  /** The general instruction's attention, as long as the question's can use; null if not at all. */
  async #generalPass(question, settings) {
    if (settings.contrast === "off") return null;
    const steps = settings.steps === "first" ? 1 : question.steps;
    if (this.#generalLimit < steps) {
      const { engine, manifest } = this.#model;
      const pieces = this.#pieces("single", manifest.prompts.general, [this.#view.features]);
      engine.requireRoom(pieces, steps);
      this.#general = await this.#answer(pieces, this.#view, steps);
      this.#generalLimit = steps;
    }
    return this.#general;
  }

  #refine(question, general, settings) {
    const { engine, manifest } = this.#model;
    const subject = { image: this.#image, window: this.#view.window, question, general };
    return refine(engine, manifest, subject, settings);
  }

  async #finalPass(question, refined, { finalPrompt, maxNewTokens }) {
    if (finalPrompt === "pair") {
      const { features } = await this.#model.engine.see(refined);
      const pieces = this.#pieces("pair", question, [this.#view.features, features]);
      return this.#answer(pieces, this.#view, maxNewTokens);
    }
    const view = await look(this.#model, refined);
    return this.#answer(this.#pieces("single", question, [view.features]), view, maxNewTokens);
  }
}

/** Encode an image and run the segments that both prompts start with, through the image. */
async function look({ engine, manifest }, image) {
  const { single, pair } = manifest.prompts;
  const segments = single.findIndex((segment) => isImage(segment)) + 1;
  const shared = JSON.stringify(single.slice(0, segments));
  require(
    segments > 0 && shared === JSON.stringify(pair.slice(0, segments)) && !shared.includes("{text}"),
    "unsupported",
    "The prompts do not start alike, with the image before the question. Use the Python runtime.",
  );
  const { features, window } = await engine.see(image);
  const pieces = single.slice(0, segments).map((segment) => segment.ids ?? features);
  return { features, window, segments, prefix: await engine.prefix(pieces) };
}

function isImage({ image }) {
  return image !== null && image !== undefined;
}
