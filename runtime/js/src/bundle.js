/** Read a bundle's manifest and check every file before it is used. */
import * as format from "./bundle_format.js";
import { CarveError, ensure } from "./errors.js";

const { MANIFEST_FILE, SCHEMA_VERSION, TOKENIZER_FILE } = format;

/** The graphs that this library runs, by what they do. */
export const GRAPHS = {
  preprocess: format.PREPROCESS,
  vision: format.VISION_ENCODER,
  embed: format.EMBED_TOKENS,
  decoder: format.DECODER,
  refine: format.CARVE_REFINE,
};

/**
 * Read what the library needs of a bundle.
 *
 * @param source has `read(path, onBytes)`, which resolves to a file's bytes.
 * @param options `verify` (compare SHA-256 sums, not sizes alone) and `onProgress`, which is called
 *     with `(loaded, total)` in bytes, over all files.
 * @returns the manifest, the graphs' bytes by role, and tokenizer.json, parsed.
 */
export async function readBundle(source, { verify, onProgress = () => {} }) {
  const manifest = parse(MANIFEST_FILE, await source.read(MANIFEST_FILE, () => {}));
  ensureSupported(manifest);
  const names = [TOKENIZER_FILE, ...Object.values(GRAPHS).map((name) => manifest.graphs[name].file)];
  const onBytes = counter(names.map((name) => entryOf(manifest, name).size), onProgress);
  const [tokenizer, ...graphs] = await Promise.all(
    names.map((name, i) => readFile(source, manifest, name, verify, (loaded) => onBytes(i, loaded))),
  );
  const roles = Object.keys(GRAPHS).map((role, i) => [role, graphs[i]]);
  return { manifest, graphs: Object.fromEntries(roles), tokenizer: parse(TOKENIZER_FILE, tokenizer) };
}

/** Add up what has arrived of several files. */
function counter(sizes, onProgress) {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const loaded = sizes.map(() => 0);
  return (file, bytes) => {
    loaded[file] = bytes;
    onProgress(
      loaded.reduce((sum, count) => sum + count, 0),
      total,
    );
  };
}

function parse(name, bytes) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new CarveError("bundle", `${name} is not JSON. Copy or export it again.`, error);
  }
}

function ensureSupported(manifest) {
  ensure(
    manifest?.schema_version === SCHEMA_VERSION,
    "unsupported",
    `The manifest has schema version ${manifest?.schema_version}, this library reads ` +
      `${SCHEMA_VERSION}. Upgrade it, or export the checkpoint again.`,
  );
  for (const key of ["graphs", "files", "image", "prompts", "decoder", "defaults"]) {
    ensure(
      typeof manifest[key] === "object" && manifest[key] !== null,
      "bundle",
      `The manifest has no ${key}. Export the checkpoint again.`,
    );
  }
  const { kind, grid } = manifest.image;
  ensure(
    kind === "fixed",
    "unsupported",
    `The bundle's images are of the kind '${kind}', this library reads 'fixed'. ` +
      "Use the Python runtime.",
  );
  ensure(Array.isArray(grid), "bundle", "The manifest has no grid. Export the checkpoint again.");
  const absent = Object.values(GRAPHS).find((name) => !manifest.graphs[name]);
  ensure(!absent, "unsupported", `The bundle has no graph ${absent}. Export it again.`);
  ensureDecoderInputs(manifest);
  sharedPrefixLength(manifest.prompts);
}

/** Return how many segments both prompts start with, through the first image. */
export function sharedPrefixLength({ single, pair }) {
  const isImage = ({ image }) => image !== null && image !== undefined;
  const start = Array.isArray(single) ? single.slice(0, single.findIndex(isImage) + 1) : [];
  const shared = start.every((segment, i) => JSON.stringify(segment) === JSON.stringify(pair?.[i]));
  ensure(
    start.length > 0 && shared && start.every(({ text }) => !text),
    "unsupported",
    "The prompts do not start alike, with the image before the question. Use the Python runtime.",
  );
  return start.length;
}

/** What a bundle computes in: the arrays that hold it. Half precision is passed on, not read. */
const ARRAYS = { float32: Float32Array, float16: Uint16Array };

/** The type of embeddings, image features and caches. */
export const dtypeOf = ({ dtype }) => dtype ?? "float32";

/** Return an empty array of that type. */
export const noNumbers = (dtype) => new ARRAYS[dtype](0);

/** Refuse decoders whose inputs differ: another type, positions in three dimensions, DeepStack. */
function ensureDecoderInputs({ dtype, graphs, decoder }) {
  const numbers = dtypeOf({ dtype });
  ensure(
    Object.hasOwn(ARRAYS, numbers),
    "unsupported",
    `The bundle computes in '${numbers}', this library runs float32 and float16. Export the ` +
      "checkpoint with --dtype float16.",
  );
  const inputs = graphs[GRAPHS.decoder].inputs ?? [];
  const integers = [format.ATTENTION_MASK, format.POSITION_IDS];
  const known = inputs.every(({ name, dtype, shape }) =>
    integers.includes(name) ? dtype === "int64" && shape.length === 2 : dtype === numbers,
  );
  ensure(
    known && inputs.length === 3 + 2 * decoder.layers,
    "unsupported",
    "The decoder has inputs that this library does not feed. Use the Python runtime.",
  );
}

function entryOf(manifest, name) {
  const inside = typeof name === "string" && !/^\/|\\|:|(^|\/)\.\.(\/|$)/.test(name);
  ensure(inside, "bundle", `The manifest names '${name}', outside the bundle. Do not use it.`);
  const entry = manifest.files[name];
  ensure(entry, "bundle", `The manifest does not list ${name}. Export the checkpoint again.`);
  return entry;
}

async function readFile(source, manifest, name, verify, onBytes) {
  const entry = entryOf(manifest, name);
  const bytes = await source.read(name, onBytes);
  ensure(
    bytes.byteLength === entry.size,
    "bundle",
    `${name} has ${bytes.byteLength} bytes, the manifest says ${entry.size}. Copy it again.`,
  );
  if (verify) {
    ensure(
      (await sha256(bytes)) === entry.sha256,
      "bundle",
      `${name} is not the file that the manifest describes (its SHA-256 differs). Copy it again.`,
    );
  }
  onBytes(bytes.byteLength);
  return bytes;
}

async function sha256(bytes) {
  ensure(
    globalThis.crypto?.subtle,
    "unsupported",
    "SHA-256 needs a secure context. Serve the page over HTTPS or from localhost, or pass " +
      "verify: false.",
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
