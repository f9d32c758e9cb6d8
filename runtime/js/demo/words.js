/** Word by word: the large picture shows where the model looked when it decided a word. */
import { pointAtWords } from "../../carve_runtime/attention/words.js";
import { paintAttention } from "./draw.js";

export class Words {
  #root;
  #views;
  #attend;
  #attention;
  #elements;

  /**
   * @param root a details element, closed: nothing is computed before it is opened.
   * @param views whose large canvas shows the word that is pointed at.
   * @param attend returns a promise of the Attention.
   */
  constructor(root, views, attend) {
    this.#root = root;
    this.#views = views;
    this.#attend = attend;
    const [answer, slider, number] = ["[role=group]", "input", "output"].map((selector) =>
      root.querySelector(selector),
    );
    this.#elements = { answer, slider, number };
  }

  /** Offer a bundle's layers; `layer` is looked at first. */
  fit(layers, layer) {
    const { slider } = this.#elements;
    slider.max = layers.length - 1;
    slider.value = layers.indexOf(layer);
  }

  /** The question or the picture is another one. */
  forget() {
    this.#attention = undefined;
    this.#elements.answer.replaceChildren();
    this.#elements.slider.oninput = null;
    this.#root.hidden = true;
    this.#views.point(null);
  }

  /** Follow what was answered about a picture, or that the element was opened or closed. */
  async follow(picture) {
    this.#root.hidden = false;
    if (this.#root.open) this.#attention ??= await this.#attend();
    if (!this.#root.open) return this.#views.point(null);
    const { words, layers } = this.#attention;
    const show = (step, index) => this.#show(picture, step, index);
    pointAtWords(words, layers, this.#elements, show);
  }

  #show(picture, step, index) {
    const attention = this.#attention;
    const { grid, window, layers, words } = attention;
    const tokens = attention.gridMap(step, layers[index]);
    const pass = { attention: tokens, steps: 1, layers: [layers[index]], tokens: tokens.length };
    const options = { grid, window, weights: [1], layers: pass.layers };
    const share = Math.round(100 * attention.mass()[step][index]);
    this.#root.querySelector("[role=status]").textContent = `${share} % of it on the picture`;
    this.#views.point(
      (canvas) => paintAttention(canvas, picture, pass, options),
      `Heat over the picture: where layer ${layers[index]} looks to say “${words[step]}”`,
    );
  }
}
