/** Run one greedy pass and keep all its attention. */
import { Attention } from "./attention.js";

/**
 * Answer plainly; return what every step attended to.
 *
 * @param model a Model.
 * @param opened of Model.open, complete.
 * @param parts what follows the prefix.
 * @param options `generate` (most steps), `imageSize` (width, height), `listener` and `signal`.
 */
export async function collect(model, opened, parts, { generate, imageSize, listener, signal }) {
  const steps = [];
  const onStep = ({ row, cache }, id) => steps.push({ row, length: cache.length, id });
  const { image, prefix } = opened;
  const given = { maxNewTokens: generate, listener, signal, onStep };
  const { ids: answer } = await model.generate(opened, parts, [image], given);
  const layers = [...model.manifest.decoder.tapped_layers];
  const decided = steps.map(({ id }) => id);
  const ids = [...model.promptIds(parts, [image]), ...decided.slice(0, -1)];
  const start = prefix.cache.length - image.ids.length; // the image ends the prefix
  return new Attention({
    rows: together(steps, layers.length, ids.length),
    layers,
    ids,
    tokens: model.text.words(ids),
    words: model.text.words(decided),
    answer: model.text.decode(answer),
    mapTokens: image.mapTokens.map((token) => start + token),
    grid: [...image.grid],
    window: [...image.window],
    imageSize,
  });
}

/** Return the rows of all steps, each as long as the last step's, 0 behind what it read. */
function together(steps, layers, positions) {
  const rows = new Float32Array(steps.length * layers * positions);
  for (const [step, { row, length }] of steps.entries()) {
    for (let layer = 0; layer < layers; layer++) {
      const read = row.subarray(layer * length, (layer + 1) * length);
      rows.set(read, (step * layers + layer) * positions);
    }
  }
  return rows;
}
