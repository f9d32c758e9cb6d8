// Damaged manifests: a JSON document with one to three of its parts changed, by a seed.

const ODD = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  2 ** 31,
  4096,
  "",
  "x",
  "../x",
  "{text}",
  [],
  {},
  [[]],
];

const OWN = { enumerable: true, configurable: true, writable: true };

/** A generator of numbers below 1 (mulberry32). */
export function randomOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every place of a document: its parent and its key. */
function placesOf(node, found = []) {
  for (const key of Object.keys(node)) {
    found.push([node, key]);
    if (typeof node[key] === "object" && node[key] !== null) placesOf(node[key], found);
  }
  return found;
}

function nested(value, depth) {
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

const MUTATORS = [
  ([parent, key]) => (Array.isArray(parent) ? parent.splice(key, 1) : delete parent[key]),
  ([parent, key], pick) => (parent[key] = pick(ODD)),
  ([parent, key], pick) => (parent[key] = pick(ODD)),
  ([parent, key], pick, places) => {
    const [other, name] = pick(places);
    [parent[key], other[name]] = [other[name], parent[key]];
  },
  ([parent, key]) => (parent[key] = [parent[key], parent[key]]),
  ([parent, key]) => (parent[key] = { [key]: parent[key] }),
  ([parent, key], pick) => (parent[key] = nested(parent[key], pick([1, 40, 3000]))),
  ([parent, key], pick) => {
    if (typeof parent[key] === "number") parent[key] += pick([-1, 1, 1000, 2 ** 24]);
    if (typeof parent[key] === "string") parent[key] += pick(["x", "\0", "/..", "\ud800"]);
  },
  ([parent, key], pick) => {
    const name = pick(["__proto__", "constructor", "toString", ""]);
    if (!Array.isArray(parent)) Object.defineProperty(parent, name, { ...OWN, value: parent[key] });
  },
];

/** Return a damaged copy of a manifest as text; now and then its text itself is damaged. */
export function mutated(document, seed) {
  const random = randomOf(seed);
  const pick = (values) => values[Math.floor(random() * values.length)];
  const copy = JSON.parse(JSON.stringify(document));
  for (let count = pick([1, 1, 2, 3]); count > 0; count--) {
    const places = placesOf(copy);
    if (places.length) pick(MUTATORS)(pick(places), pick, places);
  }
  let text;
  try {
    text = JSON.stringify(copy);
  } catch {
    return "[".repeat(1e5); // what was swapped contains itself
  }
  if (random() > 0.05) return text;
  const at = Math.floor(random() * text.length);
  return (
    text.slice(0, at) + pick(["", "\u0001", "}", "NaN", '"']) + text.slice(at + pick([0, 1, 50]))
  );
}
