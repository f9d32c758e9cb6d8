/**
 * Words to point at and a slider over layers, which choose what is shown: in the page of
 * `carve-run attend`, which holds this text, and in the demonstration of the JavaScript library.
 *
 * @param words what each step decided.
 * @param layers numbers of the decoder's layers, for the slider's positions.
 * @param elements `answer`, which the words are put into, `slider`, and `number`, an output.
 * @param show is called with a step and the index of a layer, at once and whenever they change.
 */
export function pointAtWords(words, layers, { answer, slider, number }, show) {
  let chosen = 0;
  const choose = (step) => {
    chosen = step;
    const layer = Number(slider.value);
    number.textContent = layers[layer];
    slider.setAttribute("aria-valuetext", `layer ${layers[layer]}`);
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === step)));
    show(step, layer);
  };
  const buttons = words.map((word, step) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word || "·";
    button.title = `word ${step + 1}`;
    for (const event of ["pointerenter", "focus", "click"]) {
      button.addEventListener(event, () => choose(step));
    }
    return button;
  });
  answer.replaceChildren(...buttons);
  slider.max = layers.length - 1;
  slider.oninput = () => choose(chosen);
  choose(chosen);
}
