/** One image and any number of questions about it. */
import { require } from "./errors.js";
import { CHOICES, changedSettings } from "./settings.js";
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

  /** Answer as Carve.ask does. */
  async ask(question, changes = {}) {
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
      const plain = await this.#answer(single, this.#view, maxNewTokens);
      const general = await this.#generalPass(settings.steps === "first" ? 1 : plain.steps);
      const refined = await this.#refine(plain, general, settings);
      const final = await this.#finalPass(question, refined.refinedImage, settings);
      return {
        answer: text.decode(final.ids),
        plainAnswer: text.decode(plain.ids),
        ids: final.ids,
        plainIds: plain.ids,
        ...refined,
        questionAttention: plain,
        generalAttention: general,
        settings,
      };
    });
  }

  /** Do steps 3 to 7 again on a result's attention, with other settings: no model runs. */
  async refineAgain(result, changes) {
    const settings = changedSettings(result.settings, changes, this.#model.manifest);
    const steps = settings.steps === "first" ? 1 : result.questionAttention.steps;
    return this.#run(async () => {
      const general = await this.#generalPass(steps);
      return this.#refine(result.questionAttention, general, settings);
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

  async #generalPass(steps) {
    if (this.#generalLimit < steps) {
      const { engine, manifest } = this.#model;
      const pieces = this.#pieces("single", manifest.prompts.general, [this.#view.features]);
      engine.requireRoom(pieces, steps);
      this.#general = await this.#answer(pieces, this.#view, steps);
      this.#generalLimit = steps;
    }
    return this.#general;
  }

  async #refine(question, general, settings) {
    const { engine, manifest } = this.#model;
    const { data, width, height } = this.#image;
    const [rows, columns] = manifest.image.grid;
    const tapped = manifest.decoder.tapped_layers;
    const whole = [0, 0, width, height];
    const window = settings.geometry === "input" ? this.#view.window : whole;
    const steps = stepWeights(settings.steps, Math.min(question.steps, general.steps));
    const attention = (pass) =>
      engine.tensor("float32", pass.attention, [pass.steps, tapped.length, rows * columns]);
    const reals = (values) =>
      engine.tensor("float64", Float64Array.from(values), [values.length]);
    const real = (value) => engine.tensor("float64", Float64Array.of(value), []);
    const whole64 = (value) => engine.tensor("int64", BigInt64Array.of(BigInt(value)), []);
    const made = await engine.run("refine", {
      question_attention: attention(question),
      general_attention: attention(general),
      grid: engine.tensor("int64", BigInt64Array.of(BigInt(rows), BigInt(columns)), [2]),
      window: reals(window),
      image: engine.tensor("uint8", data, [height, width, 3]),
      step_weights: reals(steps),
      layer_weights: reals(tapped.map((layer) => Number(settings.layers.includes(layer)))),
      regularizer: real(settings.regularizer),
      mask_top_p: real(settings.maskTopP),
      max_regions: whole64(settings.maxRegions),
      strategy: whole64(CHOICES.strategy.indexOf(settings.strategy)),
      rule: whole64(CHOICES.rule.indexOf(settings.rule)),
      outlier_percent: real(settings.outlierPercent),
      max_refined_pixels: whole64(settings.maxRefinedPixels ?? 0),
    });
    const saliency = made.saliency.data;
    require(
      saliency.some(Number.isFinite) && !saliency.some((value) => Math.abs(value) === Infinity),
      "settings",
      "The contrast is not finite. Give a regularizer above 0.",
    );
    const [newHeight, newWidth] = made.refined_image.dims;
    return {
      width,
      height,
      saliency,
      mask: made.mask.data,
      bbox: Array.from(made.bbox.data, Number),
      refinedImage: { data: made.refined_image.data, width: newWidth, height: newHeight },
      refinedLimited: Boolean(made.refined_limited.data[0]),
    };
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

/** Weights of the steps that both passes took. */
function stepWeights(steps, common) {
  if (steps === "first") return [1];
  const weights = Array.from({ length: common }, (_, step) => step + 1);
  return steps === "all" ? weights : weights.map((weight) => Number(weight === common));
}
