/** How the method weighs the forward steps (docs/method.md, step 4). */

/**
 * Return the weights of the first steps of both passes.
 *
 * @param steps the setting.
 * @param common the number of steps that both passes took.
 */
export function stepWeights(steps, common) {
  if (steps === "first") return [1];
  const weights = Array.from({ length: common }, (_, step) => step + 1);
  return steps === "all" ? weights : weights.map((weight) => Number(weight === common));
}
