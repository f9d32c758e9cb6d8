/** The steps between the answers as small pictures, and the chosen step as a large one. */
import { stepWeights } from "../src/method/steps.js";
import { paintAttention, paintMask, paintPicture, paintRefined, paintSaliency } from "./draw.js";

const DESCRIPTIONS = {
  picture: "The picture",
  question: "Heat over the picture: where the model looks when it is asked the question",
  general: "Heat over the picture: where it looks when it is asked for a general description",
  contrast: "Heat over the picture: the first divided by the second",
  mask: "The picture, dark except for the regions that are kept",
  refined: "The kept regions, cut out and magnified",
};

export class Views {
  #large;
  #small = new Map();
  #painted = new Map(); // what each view was painted from, by name
  #root;
  #pointed = null; // what is shown in place of a step: its painter and its description

  /** `root` holds a radio and a canvas for each step, `large` is the canvas above. */
  constructor(root, large) {
    this.#root = root;
    this.#large = large;
    for (const radio of root.querySelectorAll("[name=view]")) {
      this.#small.set(radio.value, radio.parentElement.querySelector("canvas"));
    }
    root.addEventListener("change", () => this.#enlarge());
  }

  /** Show a new picture, before anything is known of it. */
  begin(picture) {
    this.#painted.clear();
    for (const canvas of this.#small.values()) {
      canvas.width = picture.width;
      canvas.height = picture.height;
      canvas.parentElement.classList.remove("ready");
    }
    this.#paint("picture", [picture], (canvas) => paintPicture(canvas, picture));
    this.#enlarge();
  }

  /**
   * Paint what is known of a result.
   *
   * @param picture RGBA.
   * @param result a CarveResult, as far as it is known.
   */
  show(picture, result) {
    const { questionAttention: question, generalAttention: general, settings } = result;
    const common = Math.min(question.steps, general?.steps ?? Infinity);
    const options = {
      grid: result.grid,
      window: settings.geometry === "input" ? result.window : [0, 0, picture.width, picture.height],
      weights: stepWeights(settings.steps, common),
      layers: settings.layers,
    };
    const chosen = [settings.steps, common, String(settings.layers)];
    for (const [name, pass] of Object.entries({ question, general })) {
      if (!pass) continue;
      this.#paint(name, [pass, ...chosen], (canvas) =>
        paintAttention(canvas, picture, pass, options),
      );
    }
    const { saliency, mask, refinedImage } = result;
    if (mask) {
      this.#paint("contrast", [saliency], (canvas) => paintSaliency(canvas, picture, saliency));
      this.#paint("mask", [mask], (canvas) => paintMask(canvas, picture, mask));
      this.#paint("refined", [refinedImage], (canvas) => paintRefined(canvas, refinedImage));
    }
    this.#enlarge();
  }

  /** Show large what `paint` paints, in place of the chosen step; null ends that. */
  point(paint, description) {
    this.#pointed = paint && { paint, description };
    this.#enlarge();
  }

  /** Paint a view, unless it was painted from the same. */
  #paint(name, source, paint) {
    if (this.#painted.get(name)?.every((part, i) => part === source[i])) return;
    const canvas = this.#small.get(name);
    paint(canvas);
    this.#painted.set(name, source);
    canvas.parentElement.classList.add("ready");
  }

  #enlarge() {
    if (!this.#painted.size) return;
    if (this.#pointed) {
      this.#pointed.paint(this.#large);
      this.#large.setAttribute("aria-label", this.#pointed.description);
      return;
    }
    const chosen = this.#root.querySelector("[name=view]:checked").value;
    const name = this.#painted.has(chosen) ? chosen : "picture";
    const source = this.#small.get(name);
    this.#large.width = source.width;
    this.#large.height = source.height;
    this.#large.getContext("2d").drawImage(source, 0, 0);
    this.#large.setAttribute("aria-label", DESCRIPTIONS[name]);
  }
}
