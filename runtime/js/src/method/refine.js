/** Steps 3 to 7 of the method (docs/method.md), by carve_refine.onnx. */
import * as format from "../bundle_format.js";
import { ensure } from "../errors.js";
import { contrastOf } from "../settings.js";
import { CHOICES } from "../settings_table.js";
import { rowsOf } from "./attention.js";
import { automaticShare, divisorOf } from "./automatic.js";
import { stepWeights } from "./steps.js";

/**
 * Contrast two passes' attention, choose regions, cut them out and magnify them.
 *
 * @param graphs the bundle's.
 * @param subject `image` (RGB), `grid` of the attention map, `window` (the part of the image that it
 *     covers), `question` and `general` (the passes; general may be null where the contrast is off).
 * @param settings all of them, checked.
 * @returns a Refinement without its generalAttention.
 */
export async function refine(graphs, subject, settings) {
  const feeds = feedsOf(graphs, subject, settings);
  const outputs = await run(graphs, feeds, settings.maskTopP);
  const refined = outputs[format.REFINED_IMAGE];
  const [height, width] = refined.dims;
  return {
    width: subject.image.width,
    height: subject.image.height,
    saliency: outputs[format.SALIENCY].data,
    mask: outputs[format.MASK].data,
    bbox: Array.from(outputs[format.BBOX].data, Number),
    refinedImage: { data: refined.data, width, height },
    refinedLimited: Boolean(outputs[format.REFINED_LIMITED].data[0]),
  };
}

/** Return an image as it is, a copy, where nothing is refined. */
export function unrefined({ data, width, height }) {
  return {
    width,
    height,
    saliency: new Float32Array(width * height).fill(NaN),
    mask: new Uint8Array(width * height).fill(1),
    bbox: [0, 0, width, height],
    refinedImage: { data: data.slice(), width, height },
    refinedLimited: false,
  };
}

const real = (graphs, value) => graphs.tensor("float64", Float64Array.of(value), []);
const reals = (graphs, values) =>
  graphs.tensor("float64", Float64Array.from(values), [values.length]);
const whole = (graphs, value) => graphs.tensor("int64", BigInt64Array.of(BigInt(value)), []);

/** Run the graph; an automatic share needs the saliency of a first run. */
async function run(graphs, feeds, maskTopP) {
  const automatic = maskTopP === "auto";
  const withShare = (share) =>
    graphs.run("refine", { ...feeds, [format.MASK_TOP_P]: real(graphs, share) });
  const outputs = await withShare(automatic ? 1 : maskTopP);
  const { data: saliency } = outputs[format.SALIENCY];
  ensureFinite(saliency);
  return automatic ? withShare(automaticShare(saliency)) : outputs;
}

function ensureFinite(saliency) {
  ensure(
    saliency.some(Number.isFinite) && !saliency.some((value) => Math.abs(value) === Infinity),
    "settings",
    "The contrast is not finite. Give a regularizer above 0.",
  );
}

/** The graph's inputs, except for the share of pixels. */
function feedsOf(graphs, { image, grid, window, question, general }, settings) {
  const { data, width, height } = image;
  const weights = stepWeights(settings.steps, Math.min(question.steps, general?.steps ?? Infinity));
  const asked = rowsOf(question, settings.layers);
  const { divisor, regularizer } = divisorOf(asked, general && rowsOf(general, settings.layers), {
    contrast: contrastOf(settings),
    regularizer: settings.regularizer,
    weights,
  });
  const attention = (pass) =>
    graphs.tensor("float32", pass.attention, [pass.steps, pass.layers.length, pass.tokens]);
  const covered = settings.geometry === "input" ? window : [0, 0, width, height];
  const choice = (name) => whole(graphs, CHOICES[name].indexOf(settings[name]));
  return {
    [format.QUESTION_ATTENTION]: attention(asked),
    [format.GENERAL_ATTENTION]: attention(divisor),
    [format.GRID]: graphs.tensor("int64", BigInt64Array.from(grid, BigInt), [2]),
    [format.WINDOW]: reals(graphs, covered),
    [format.IMAGE]: graphs.tensor("uint8", data, [height, width, 3]),
    [format.STEP_WEIGHTS]: reals(graphs, weights),
    [format.LAYER_WEIGHTS]: reals(
      graphs,
      settings.layers.map(() => 1),
    ),
    [format.REGULARIZER]: real(graphs, regularizer),
    [format.MAX_REGIONS]: whole(graphs, settings.maxRegions),
    [format.STRATEGY]: choice("strategy"),
    [format.RULE]: choice("rule"),
    [format.OUTLIER_PERCENT]: real(graphs, settings.outlierPercent),
    [format.MAX_REFINED_PIXELS]: whole(graphs, mostRefinedPixels(settings, width * height)),
  };
}

/** More than the final pass sees need not be made; 0 is the graph's own limit. */
function mostRefinedPixels({ maxRefinedPixels, finalPixels }, pixels) {
  if (finalPixels === null) return maxRefinedPixels ?? 0;
  return Math.min(maxRefinedPixels ?? format.DEFAULT_GROWTH * pixels, finalPixels);
}
