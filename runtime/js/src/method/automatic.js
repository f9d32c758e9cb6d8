/** Settings that follow from the attention itself (docs/method.md, "Automatic settings"). */

const ROUNDING = 2 ** -23; // of a 32-bit number

/**
 * Return what the question's attention is divided by.
 *
 * @param question a pass (attention.js), with the rows of the layers that are fused.
 * @param general the general instruction's pass; null where the contrast is off.
 * @param options `contrast`, `regularizer` and `weights` (of the first steps of both).
 * @returns `divisor`, a pass, and the `regularizer` to add to it.
 */
export function divisorOf(question, general, { contrast, regularizer, weights }) {
  const { layers, tokens } = question;
  const maps = []; // where each map that is fused begins
  for (const [step, weight] of weights.entries()) {
    if (weight) layers.forEach((_, layer) => maps.push((step * layers.length + layer) * tokens));
  }
  const mapAt = (pass, start) => pass.attention.subarray(start, start + tokens);
  const shared = (start) => sharedVariance(mapAt(question, start), mapAt(general, start));
  const explained = () => mean(maps.map(shared)) > 0.5;
  if (contrast === "off" || (contrast === "auto" && !explained())) {
    const ones = { ...question, attention: question.attention.map(() => 1) };
    return { divisor: ones, regularizer: 0 };
  }
  if (regularizer !== "auto") return { divisor: general, regularizer };
  const divisor = { ...general, attention: Float32Array.from(general.attention) };
  for (const start of maps) {
    const lambda = Math.fround(noise(mapAt(general, start), shared(start)));
    mapAt(divisor, start).forEach((value, i, values) => (values[i] = value + lambda));
  }
  return { divisor, regularizer: 0 };
}

/** Return the share of the pixels that hold the saliency; those that are NaN do not count. */
export function automaticShare(saliency) {
  let count = 0;
  let largest = 0;
  for (const value of saliency) {
    if (Number.isNaN(value)) continue;
    count++;
    if (value > largest) largest = value;
  }
  if (!largest) return 1;
  let sum = 0;
  let squares = 0;
  for (const value of saliency) {
    if (Number.isNaN(value)) continue;
    sum += value / largest; // squares neither overflow nor vanish
    squares += (value / largest) ** 2;
  }
  return sum ** 2 / squares / count;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function covariance(left, right) {
  const [leftMean, rightMean] = [mean(left), mean(right)];
  const product = (sum, value, i) => sum + (value - leftMean) * (right[i] - rightMean);
  return left.reduce(product, 0) / left.length;
}

/** The share of one map's variance that the other explains: the squared correlation, 0 if negative. */
function sharedVariance(question, general) {
  const norms = Math.sqrt(covariance(question, question) * covariance(general, general));
  const correlation = norms > 0 ? covariance(question, general) / norms : 0;
  return Math.min(Math.max(correlation, 0), 1) ** 2;
}

/** Lambda of a map (paper, proposition C.5): its variance that is not shared, over its mean. */
function noise(map, shared) {
  const level = mean(map);
  return Math.max((covariance(map, map) * (1 - shared)) / level, ROUNDING * level);
}
