/** Settings of a question, as in docs/method.md, under their names in JavaScript's spelling. */
import { ensure, shown } from "./errors.js";
import { OPTIONS } from "./options.js";
import { CHOICES, DEFAULTS, FLAGS, NUMBERS, VARIANTS } from "./settings_table.js";

/** Those that this library has; Python has more. */
const METHODS = ["contrast", "question"];

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Return the defaults of a manifest. */
export function defaultSettings(manifest) {
  const given = Object.fromEntries(
    Object.entries(manifest.defaults).map(([name, value]) => [camel(name), value]),
  );
  const names = ["layers", ...Object.keys(DEFAULTS)];
  const settings = Object.fromEntries(names.map((name) => [name, given[name] ?? DEFAULTS[name]]));
  return checked(settings, manifest);
}

/** Return whether to contrast: the method "question" is the contrast's "off". */
export const contrastOf = ({ method, contrast }) => (method === "question" ? "off" : contrast);

/** Return settings with a variant applied, then some replaced; undefined keeps what was there. */
export function changedSettings(settings, changed, manifest) {
  ensure(
    typeof changed === "object" && changed !== null,
    "settings",
    `The changes are ${shown(changed)}. Give an object of settings, or nothing.`,
  );
  const { variant, ...changes } = changed;
  ensure(
    variant === undefined || Object.hasOwn(VARIANTS, variant),
    "settings",
    `variant is ${shown(variant)}. Choose one of ${Object.keys(VARIANTS).join(", ")}.`,
  );
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  for (const [name] of given) {
    const advice = OPTIONS.includes(name)
      ? "It is an option: pass it in an object of its own, behind the settings."
      : `Choose from ${Object.keys(settings).join(", ")}.`;
    ensure(Object.hasOwn(settings, name), "settings", `There is no setting named ${name}. ${advice}`);
  }
  return checked({ ...settings, ...VARIANTS[variant], ...Object.fromEntries(given) }, manifest);
}

function checked(settings, { decoder }) {
  checkLayers(settings.layers, decoder.tapped_layers);
  for (const [name, values] of Object.entries(CHOICES)) {
    ensure(
      values.includes(settings[name]),
      "settings",
      `${name} is ${shown(settings[name])}. Choose one of ${values.join(", ")}.`,
    );
  }
  for (const [name, limits] of Object.entries(NUMBERS)) checkNumber(name, settings[name], limits);
  for (const name of FLAGS) {
    const isFlag = typeof settings[name] === "boolean";
    ensure(isFlag, "settings", `${name} is ${shown(settings[name])}. Give true or false.`);
  }
  checkModes(settings, decoder.exit_layers ?? null);
  return { ...settings, layers: [...settings.layers] }; // whoever is given them may write to them
}

function checkLayers(layers, tapped) {
  const distinct = Array.isArray(layers) && new Set(layers).size === layers.length;
  ensure(
    distinct && layers.length > 0 && layers.every((layer) => tapped.includes(layer)),
    "settings",
    `layers is ${shown(layers)}. Name layers once each, of ${tapped.join(", ")}.`,
  );
}

function checkNumber(
  name,
  value,
  { accepted, low, high = Infinity, above, whole, auto, optional },
) {
  const kind = whole ? Number.isSafeInteger(value) : typeof value === "number";
  const inRange = kind && (above ? value > low : value >= low) && value <= high;
  const otherwise = (auto ? ', or "auto"' : "") + (optional ? ", or null" : "");
  ensure(
    inRange || (auto && value === "auto") || (optional && value === null),
    "settings",
    `${name} is ${shown(value)}. Give ${accepted}${otherwise}.`,
  );
}

/** Refuse settings that do not go together, or not with this bundle. */
function checkModes({ resizeRefined, earlyExit, adaptive, ...settings }, exitLayers) {
  ensure(
    METHODS.includes(settings.method),
    "settings",
    `method is ${settings.method}, and this library has ${METHODS.join(" and ")}. Choose one of ` +
      "the two, or use the Python runtime.",
  );
  ensure(
    resizeRefined !== "once",
    "settings",
    'resizeRefined is once, and this library resizes twice. Choose "twice" or "by_size".',
  );
  ensure(
    !adaptive || (settings.sureProbability !== null && settings.focusedEntropy !== null),
    "settings",
    "adaptive has no thresholds in this bundle. Give sureProbability and focusedEntropy.",
  );
  if (!earlyExit) return;
  ensure(
    settings.steps === "first",
    "settings",
    `earlyExit sees the first step only, and steps is ${shown(settings.steps)}. Ask with steps "first", ` +
      "or without earlyExit.",
  );
  ensure(
    !adaptive,
    "settings",
    "adaptive judges the plain answer, which earlyExit does not compute. Choose one of the two.",
  );
  ensure(
    exitLayers !== null,
    "settings",
    "earlyExit needs a decoder in two halves, which this bundle does not have. Export the " +
      "checkpoint with default layers that end below the last one.",
  );
  ensure(
    settings.layers.every((layer) => layer < exitLayers),
    "settings",
    `earlyExit stops below layer ${exitLayers}, layers has ${Math.max(...settings.layers)}. ` +
      "Choose lower layers, or ask without earlyExit.",
  );
}
