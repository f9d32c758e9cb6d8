// Feed inputs to the JavaScript library, one JSON line each, and say what came of it.
import { createInterface } from "node:readline";

import { CarveError } from "../../../runtime/js/src/index.js";
import { loadFolder } from "../../../runtime/js/src/node.js";

const PICTURE = { data: Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 37) % 256) };
Object.assign(PICTURE, { width: 40, height: 30 });
const FEW = { maxNewTokens: 2 };
// What JSON cannot hold.
const SPECIAL = { "@nan": NaN, "@inf": Infinity, "@undefined": undefined, "@big": 1n };

const revive = (_, value) => (Object.hasOwn(SPECIAL, value) ? SPECIAL[value] : value);

const usual = await loadFolder(process.argv[2]);

const uses = {
  /** Open a bundle, and ask as it is set up. */
  async open({ folder }) {
    const vlm = await loadFolder(folder, { verify: false });
    try {
      await vlm.ask(PICTURE, "What word is it, é 東京 </s>?", FEW);
    } finally {
      await vlm.release();
    }
  },
  /** Call a method of the good bundle. */
  async call({ method, image, question, changes }) {
    const picture = image && { ...image, data: pixels(image) };
    const few = method === "attend" ? {} : FEW;
    const settings = changes && typeof changes === "object" ? { ...few, ...changes } : changes;
    const given = method === "open" ? [settings] : [question, settings];
    await usual[method](picture, ...given);
  },
};

function pixels({ kind, length }) {
  const bytes = Math.min(Math.max(Number(length) || 0, 0), 1 << 20);
  const kinds = {
    bytes: () => new Uint8Array(bytes).fill(9),
    clamped: () => new Uint8ClampedArray(bytes).fill(9),
    floats: () => new Float32Array(bytes),
    list: () => new Array(Math.min(bytes, 999)).fill(9),
    none: () => null,
  };
  return kinds[kind]();
}

async function tried(line) {
  try {
    const said = JSON.parse(line, revive);
    await uses[said.use](said);
    return { outcome: "answered" };
  } catch (error) {
    const outcome = error instanceof CarveError ? "refused" : "failed";
    return { outcome, message: outcome === "refused" ? error.message : String(error?.stack ?? error) };
  }
}

const say = (document) => process.stdout.write(`${JSON.stringify(document)}\n`);
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  say({ ...(await tried(line)), peak: process.resourceUsage().maxRSS * 1024 });
}
