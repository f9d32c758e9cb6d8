/** The settings that change the mask at once: sliders, layers, steps. */
import { CHOICES } from "../src/settings_table.js";

const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;
const orAuto = (text) => (value) => (value === "auto" ? value : text(value));

// By setting: the slider's position of a value, the value of a position, and its text.
const SLIDERS = {
  maskTopP: { position: Math.log10, value: (at) => 10 ** at, text: orAuto(percent) },
  maxRegions: { position: Number, value: Number, text: String },
  regularizer: {
    position: Math.log10,
    value: (at) => 10 ** at,
    text: orAuto((lambda) => lambda.toPrecision(1)),
  },
};

/** Return a labelled box for one value of a setting. */
function box(type, name, value) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type, name, value, className: "hidden" });
  label.append(input, String(value));
  return label;
}

export class Controls {
  #form;
  #defaults;
  #values;

  /** `onChange` is called after every change. */
  constructor(form, onChange) {
    this.#form = form;
    form.addEventListener("input", ({ target }) => {
      this.#values[target.name] = this.#read(target);
      this.#show();
      onChange();
    });
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.#values = { ...this.#defaults };
      this.#show();
      onChange();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Offer a bundle's layers, and its default settings. */
  fit(manifest, settings) {
    this.#defaults = settings;
    this.#values = { ...settings };
    const layers = manifest.decoder.tapped_layers.map((layer) => box("checkbox", "layers", layer));
    this.#form.querySelector("#layers").append(...layers);
    const steps = CHOICES.steps.map((value) => box("radio", "steps", value));
    this.#form.querySelector("#steps").append(...steps);
    for (const element of this.#form.elements) element.disabled = false;
    this.#show();
  }

  /** The settings that differ from the defaults, under the library's names. */
  get changes() {
    const moved = Object.entries(this.#values).filter(
      ([name, value]) => value !== this.#defaults[name],
    );
    return Object.fromEntries(moved);
  }

  #read({ name, value }) {
    if (name in SLIDERS) return SLIDERS[name].value(Number(value));
    if (name !== "layers") return value;
    const checked = [...this.#form.querySelectorAll("[name=layers]:checked")];
    return checked.length ? checked.map((box) => Number(box.value)) : this.#values.layers;
  }

  #show() {
    for (const [name, { position, text }] of Object.entries(SLIDERS)) {
      const value = this.#values[name];
      const slider = this.#form.elements[name];
      if (document.activeElement !== slider) slider.value = position(value);
      slider.setAttribute("aria-valuetext", text(value));
      this.#form.querySelector(`output[for=${slider.id}]`).value = text(value);
    }
    for (const box of this.#form.querySelectorAll("[name=layers]")) {
      box.checked = this.#values.layers.includes(Number(box.value));
    }
    for (const radio of this.#form.querySelectorAll("[name=steps]")) {
      radio.checked = radio.value === this.#values.steps;
    }
  }
}
