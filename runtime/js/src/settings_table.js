// Written by `python -m tools.checks.settings_table --write`: do not edit.

/** A setting's values; the graph's numbers follow the order. */
export const CHOICES = {
  steps: ["first", "all", "last"],
  strategy: ["attention_sum", "size", "remove_small"],
  rule: ["released", "paper"],
  method: ["contrast", "question", "relative", "rollout", "sharpest_layer", "sink_removal", "agreement"],
  contrast: ["on", "off", "auto"],
  geometry: ["input", "released"],
  finalPrompt: ["pair", "refined"],
  resizeRefined: ["by_size", "twice", "once"],
};

/** What a number may be; `above`: the lowest is excluded, `optional`: null is accepted. */
export const NUMBERS = {
  maskTopP: { accepted: "a number above 0, at most 1", low: 0, high: 1, above: true, auto: true },
  maxRegions: { accepted: "a whole number of at least 1", low: 1, whole: true },
  outlierPercent: { accepted: "a number from 0 to 100", low: 0, high: 100 },
  regularizer: { accepted: "a number of at least 0", low: 0, auto: true },
  maxNewTokens: { accepted: "a whole number of at least 1", low: 1, whole: true },
  maxRefinedPixels: { accepted: "a whole number from 1 to 268435456", low: 1, high: 268435456, whole: true, optional: true },
  scoutPixels: { accepted: "a whole number from 1 to 268435456", low: 1, high: 268435456, whole: true, optional: true },
  finalPixels: { accepted: "a whole number from 1 to 268435456", low: 1, high: 268435456, whole: true, optional: true },
  sureProbability: { accepted: "a number from 0 to 1", low: 0, high: 1, optional: true },
  focusedEntropy: { accepted: "a number of at least 0", low: 0, optional: true },
};

/** Settings that are true or false. */
export const FLAGS = ["earlyExit", "adaptive"];

/** What a variant sets. */
export const VARIANTS = {
  v1: { steps: "first", strategy: "remove_small" },
  v2: { steps: "first", strategy: "size" },
  v3: { steps: "first", strategy: "attention_sum" },
  v4: { steps: "all", strategy: "attention_sum" },
};

/** What a manifest without the setting means. */
export const DEFAULTS = {
  steps: "all",
  strategy: "attention_sum",
  rule: "released",
  method: "contrast",
  contrast: "on",
  geometry: "input",
  finalPrompt: "pair",
  resizeRefined: "by_size",
  maskTopP: 0.2,
  maxRegions: 3,
  outlierPercent: 0.1,
  regularizer: 1e-08,
  maxNewTokens: 32,
  maxRefinedPixels: null,
  scoutPixels: null,
  finalPixels: null,
  sureProbability: null,
  focusedEntropy: null,
  earlyExit: false,
  adaptive: false,
};
