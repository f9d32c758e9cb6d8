/** Settings of a question, as in docs/method.md, under their names in JavaScript's spelling. */
import { ensure } from "./errors.js";
import { CHOICES, DEFAULTS, NUMBERS } from "./settings_table.js";

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
  ensure(
    !given.adaptive,
    "unsupported",
    "The bundle's default is adaptive. Export it without, or use the Python runtime.",
  );
  const names = ["layers", ...Object.keys(DEFAULTS)];
  const settings = Object.fromEntries(names.map((name) => [name, given[name] ?? DEFAULTS[name]]));
  const limits = [given.maxRefinedPixels, given.finalPixels].map((limit) => limit ?? Infinity);
  const least = Math.min(...limits);
  settings.maxRefinedPixels = least === Infinity ? null : least;
  return checked(settings, manifest);
}

/** Return settings with some replaced; undefined keeps what was there. */
export function changedSettings(settings, changes, manifest) {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  const unknown = given.find(([name]) => !(name in settings));
  ensure(
    !unknown,
    "settings",
    `There is no setting named ${unknown?.[0]}. Choose from ${Object.keys(settings).join(", ")}.`,
  );
  return checked({ ...settings, ...Object.fromEntries(given) }, manifest);
}

function checked(settings, manifest) {
  checkLayers(settings.layers, manifest.decoder.tapped_layers);
  for (const [name, values] of Object.entries(CHOICES)) {
    ensure(
      values.includes(settings[name]),
      "settings",
      `${name} is ${settings[name]}. Choose one of ${values.join(", ")}.`,
    );
  }
  for (const [name, limits] of Object.entries(NUMBERS)) checkNumber(name, settings[name], limits);
  return settings;
}

function checkLayers(layers, tapped) {
  const distinct = Array.isArray(layers) && new Set(layers).size === layers.length;
  ensure(
    distinct && layers.length > 0 && layers.every((layer) => tapped.includes(layer)),
    "settings",
    `layers is ${JSON.stringify(layers)}. Name layers once each, of ${tapped.join(", ")}.`,
  );
}

function checkNumber(name, value, { accepted, low, high = Infinity, above, whole, auto, optional }) {
  const kind = whole ? Number.isSafeInteger(value) : typeof value === "number";
  const inRange = kind && (above ? value > low : value >= low) && value <= high;
  const otherwise = (auto ? ', or "auto"' : "") + (optional ? ", or null" : "");
  ensure(
    inRange || (auto && value === "auto") || (optional && value === null),
    "settings",
    `${name} is ${value}. Give ${accepted}${otherwise}.`,
  );
}
