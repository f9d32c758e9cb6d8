/** Settings of a question, as in docs/method.md, under their names in JavaScript's spelling. */
import { require } from "./errors.js";

// The order of strategy and rule is the graph's.
export const CHOICES = {
  steps: ["first", "all", "last"],
  strategy: ["attention_sum", "size", "remove_small"],
  rule: ["released", "paper"],
  geometry: ["input", "released"],
  finalPrompt: ["pair", "refined"],
  contrast: ["on", "off", "auto"],
};

const RANGES = {
  maskTopP: [Number.MIN_VALUE, 1],
  outlierPercent: [0, 100],
  regularizer: [0, Infinity],
};

const AUTOMATIC = ["maskTopP", "regularizer"];
const COUNTS = ["maxRegions", "maxNewTokens"];

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/**
 * Return the defaults of a manifest.
 *
 * `early_exit` only saves time: the answers are the same without. `adaptive` is not known here.
 */
export function defaultSettings(manifest) {
  const given = Object.fromEntries(
    Object.entries(manifest.defaults).map(([name, value]) => [camel(name), value]),
  );
  require(
    !given.adaptive,
    "unsupported",
    "The bundle's default is adaptive. Export it without, or use the Python runtime.",
  );
  const names = ["layers", ...Object.keys(CHOICES), ...Object.keys(RANGES), ...COUNTS];
  const settings = Object.fromEntries(names.map((name) => [name, given[name]]));
  const limits = [given.maxRefinedPixels, given.finalPixels].map((limit) => limit ?? Infinity);
  const most = Math.min(...limits);
  const maxRefinedPixels = most === Infinity ? null : most;
  return checked({ ...settings, contrast: given.contrast ?? "on", maxRefinedPixels }, manifest);
}

/** Return settings with some replaced; undefined keeps what was there. */
export function changedSettings(settings, changes, manifest) {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  const unknown = given.find(([name]) => !(name in settings));
  require(
    !unknown,
    "settings",
    `There is no setting named ${unknown?.[0]}. Choose from ${Object.keys(settings).join(", ")}.`,
  );
  return checked({ ...settings, ...Object.fromEntries(given) }, manifest);
}

function checked(settings, manifest) {
  const { layers, maxRefinedPixels } = settings;
  const tapped = manifest.decoder.tapped_layers;
  const fits = Array.isArray(layers) && layers.length > 0 && new Set(layers).size === layers.length;
  require(
    fits && layers.every((layer) => tapped.includes(layer)),
    "settings",
    `layers is ${JSON.stringify(layers)}. Name layers once each, of ${tapped.join(", ")}.`,
  );
  for (const [name, choices] of Object.entries(CHOICES)) {
    require(
      choices.includes(settings[name]),
      "settings",
      `${name} is ${settings[name]}. Choose one of ${choices.join(", ")}.`,
    );
  }
  for (const [name, [low, high]] of Object.entries(RANGES)) {
    const value = settings[name];
    const automatic = AUTOMATIC.includes(name);
    require(
      (automatic && value === "auto") || (typeof value === "number" && value >= low && value <= high),
      "settings",
      `${name} is ${value}. Give a number from ${low} to ${high}${automatic ? ', or "auto"' : ""}.`,
    );
  }
  for (const name of COUNTS) requireCount(name, settings[name]);
  if (maxRefinedPixels !== null) requireCount("maxRefinedPixels", maxRefinedPixels);
  return settings;
}

function requireCount(name, value) {
  require(
    Number.isSafeInteger(value) && value >= 1,
    "settings",
    `${name} is ${value}. Give a whole number, 1 or more.`,
  );
}
