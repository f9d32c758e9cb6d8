/** The settings that the mask follows live: sliders, layers, steps. */

const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;
const orAuto = (text) => (value) => (value === "auto" ? value : text(value));

// By the setting's name: how its slider counts, and how its value is written.
const SLIDERS = {
  maskTopP: { of: Math.log10, to: (at) => 10 ** at, text: orAuto(percent) },
  maxRegions: { of: Number, to: Number, text: String },
  regularizer: { of: Math.log10, to: (at) => 10 ** at, text: orAuto((value) => value.toPrecision(1)) },
};

export class Controls {
  #form;
  #defaults;
  #values;

  /** `onChange` is called when anything was moved. */
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
    const boxes = manifest.decoder.tapped_layers.map((layer) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      Object.assign(box, { type: "checkbox", name: "layers", value: layer, className: "hidden" });
      label.append(box, String(layer));
      return label;
    });
    this.#form.querySelector("#layers").append(...boxes);
    for (const element of this.#form.elements) element.disabled = false;
    this.#show();
  }

  /** What is chosen other than the defaults, under the library's names. */
  get changes() {
    const moved = Object.entries(this.#values).filter(([name, value]) => value !== this.#defaults[name]);
    return Object.fromEntries(moved);
  }

  #read({ name, value }) {
    if (name in SLIDERS) return SLIDERS[name].to(Number(value));
    if (name !== "layers") return value;
    const checked = [...this.#form.querySelectorAll("[name=layers]:checked")];
    return checked.length ? checked.map((box) => Number(box.value)) : this.#values.layers;
  }

  #show() {
    for (const [name, { of, text }] of Object.entries(SLIDERS)) {
      const value = this.#values[name];
      const slider = this.#form.elements[name];
      if (document.activeElement !== slider) slider.value = of(value);
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
