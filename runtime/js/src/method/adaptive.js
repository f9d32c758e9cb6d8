/** Decide whether the plain answer will do (ours, not the paper's; docs/method.md). */

/** Return why the refinement is not needed, or null if it is; settings have both thresholds. */
export function reasonToSkip(entropy, probability, { adaptive, sureProbability, focusedEntropy }) {
  if (!adaptive || probability < sureProbability || entropy > focusedEntropy) return null;
  return (
    `the plain answer is sure (probability ${probability.toFixed(3)}, at least ` +
    `${sureProbability.toFixed(3)}) and focused (entropy ${entropy.toFixed(2)}, at most ` +
    `${focusedEntropy.toFixed(2)})`
  );
}
