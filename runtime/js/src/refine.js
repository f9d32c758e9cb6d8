/** Steps 3 to 7 of the method (docs/method.md), by carve_refine.onnx. */
import { automaticShare, contrasted } from "./automatic.js";
import { require } from "./errors.js";
import { CHOICES } from "./settings.js";

const real = (engine, value) => engine.tensor("float64", Float64Array.of(value), []);
const reals = (engine, values) =>
  engine.tensor("float64", Float64Array.from(values), [values.length]);
const whole = (engine, value) => engine.tensor("int64", BigInt64Array.of(BigInt(value)), []);

/**
 * Contrast two passes' attention, choose regions, cut them out and magnify them.
 *
 * @param engine runs the graph.
 * @param manifest the bundle's.
 * @param subject `image` (RGB), `window` (what the model saw of it), `question` and `general` (the
 *     passes; general may be null where the contrast is off).
 * @param settings all of them, checked.
 * @returns a Refinement without its generalAttention.
 */
export async function refine(engine, manifest, subject, settings) {
  const { saliency, mask, bbox, refined_image, refined_limited } = await run(
    engine,
    feedsOf(engine, manifest, subject, settings),
    settings.maskTopP,
  );
  const [newHeight, newWidth] = refined_image.dims;
  return {
    width: subject.image.width,
    height: subject.image.height,
    saliency: saliency.data,
    mask: mask.data,
    bbox: Array.from(bbox.data, Number),
    refinedImage: { data: refined_image.data, width: newWidth, height: newHeight },
    refinedLimited: Boolean(refined_limited.data[0]),
  };
}

/** Run the graph; an automatic share needs the saliency of a first run. */
async function run(engine, feeds, maskTopP) {
  const automatic = maskTopP === "auto";
  const withShare = (share) => engine.run("refine", { ...feeds, mask_top_p: real(engine, share) });
  const made = await withShare(automatic ? 1 : maskTopP);
  requireFinite(made.saliency.data);
  return automatic ? withShare(automaticShare(made.saliency.data)) : made;
}

function requireFinite(saliency) {
  require(
    saliency.some(Number.isFinite) && !saliency.some((value) => Math.abs(value) === Infinity),
    "settings",
    "The contrast is not finite. Give a regularizer above 0.",
  );
}

/** What the graph is fed, but for the share of pixels. */
function feedsOf(engine, manifest, { image, window, question, general }, settings) {
  const [rows, columns] = manifest.image.grid;
  const tapped = manifest.decoder.tapped_layers;
  const tokens = rows * columns;
  const { data, width, height } = image;
  const layers = tapped.map((layer) => Number(settings.layers.includes(layer)));
  const steps = stepWeights(settings.steps, Math.min(question.steps, general?.steps ?? Infinity));
  const divided = contrasted(question, general, { ...settings, steps, layers, tokens });
  const attention = (pass) =>
    engine.tensor("float32", pass.attention, [pass.steps, tapped.length, tokens]);
  return {
    question_attention: attention(question),
    general_attention: attention(divided.by),
    grid: engine.tensor("int64", BigInt64Array.of(BigInt(rows), BigInt(columns)), [2]),
    window: reals(engine, settings.geometry === "input" ? window : [0, 0, width, height]),
    image: engine.tensor("uint8", data, [height, width, 3]),
    step_weights: reals(engine, steps),
    layer_weights: reals(engine, layers),
    regularizer: real(engine, divided.regularizer),
    max_regions: whole(engine, settings.maxRegions),
    strategy: whole(engine, CHOICES.strategy.indexOf(settings.strategy)),
    rule: whole(engine, CHOICES.rule.indexOf(settings.rule)),
    outlier_percent: real(engine, settings.outlierPercent),
    max_refined_pixels: whole(engine, settings.maxRefinedPixels ?? 0),
  };
}

/** Weights of the steps that both passes took. */
function stepWeights(steps, common) {
  if (steps === "first") return [1];
  const weights = Array.from({ length: common }, (_, step) => step + 1);
  return steps === "all" ? weights : weights.map((weight) => Number(weight === common));
}
