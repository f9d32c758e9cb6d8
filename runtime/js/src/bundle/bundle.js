/** Read a bundle: its manifest, checked, and every file that is used, compared with it. */
import * as format from "../bundle_format.js";
import { CarveError, ensure } from "../errors.js";
import { checkedManifest } from "./manifest.js";

const { MANIFEST_FILE, TOKENIZER_FILE } = format;

/** The graphs of every bundle that this library runs, by what they do. */
const STEPS = {
  preprocess: format.PREPROCESS,
  vision: format.VISION_ENCODER,
  embed: format.EMBED_TOKENS,
  refine: format.CARVE_REFINE,
};

/** What a bundle may compute in. Half precision is passed on, not read. */
const DTYPES = ["float32", "float16"];

/**
 * Read what the library needs of a bundle.
 *
 * @param source see Source in index.d.ts.
 * @param options `verify` (compare SHA-256 sums, not sizes alone), `onProgress` (called with
 *     `(loaded, total)` in bytes, over all files) and `signal` (an AbortSignal).
 * @returns the manifest, the tokenizer's document, and the graphs by role: `model`, a path or bytes,
 *     and `externalData`, what stands beside it.
 */
export async function readBundle(source, { verify, onProgress = () => {}, signal }) {
  const manifest = await readManifest(source, signal);
  const files = filesOf(manifest);
  const names = [...new Set([TOKENIZER_FILE, ...Object.values(files).flat()])];
  const onBytes = counter(
    names.map((name) => entryOf(manifest, name).size),
    onProgress,
  );
  const read = (name, i) =>
    readFile(source, manifest, name, { verify, signal, onBytes: (loaded) => onBytes(i, loaded) });
  const contents = await Promise.all(names.map(read));
  const byName = new Map(names.map((name, i) => [name, contents[i]]));
  const graphs = Object.entries(files).map(([role, [file, ...beside]]) => [
    role,
    {
      model: byName.get(file),
      externalData: beside.map((path) => mounted(path, byName.get(path))),
    },
  ]);
  const tokenizer = parse(TOKENIZER_FILE, byName.get(TOKENIZER_FILE));
  return { manifest, tokenizer, graphs: Object.fromEntries(graphs) };
}

/** Read a bundle's manifest and check that this library can run what it describes. */
export async function readManifest(source, signal) {
  const bytes = await source.read(MANIFEST_FILE, () => {}, signal);
  const manifest = checkedManifest(parse(MANIFEST_FILE, bytes));
  ensureSupported(manifest);
  return manifest;
}

/** Return the files that the library reads of a bundle. */
export function filesRead(manifest) {
  return [...new Set([MANIFEST_FILE, TOKENIZER_FILE, ...Object.values(filesOf(manifest)).flat()])];
}

/** The decoder as it is run: parts in order, each with its `name`, `layers` and `tapped` ones. */
export function decoderParts({ layers, tapped_layers: tapped, exit_layers: exit }) {
  const part = (name, start, stop) => ({
    name,
    layers: Array.from({ length: stop - start }, (_, i) => start + i),
    tapped: tapped.filter((layer) => start <= layer && layer < stop),
    input: name === format.DECODER_UPPER ? format.HIDDEN_STATES : format.INPUTS_EMBEDS,
    output: name === format.DECODER_LOWER ? format.HIDDEN_STATES : format.LOGITS,
  });
  if ((exit ?? null) === null) return [part(format.DECODER, 0, layers)];
  return [part(format.DECODER_LOWER, 0, exit), part(format.DECODER_UPPER, exit, layers)];
}

/** By role, a graph's file and what stands beside it: weights of its own, or of the whole decoder. */
function filesOf(manifest) {
  const { graphs, decoder, files } = manifest;
  const parts = decoderParts(decoder);
  const names = { ...STEPS, ...Object.fromEntries(parts.map(({ name }) => [name, name])) };
  const whole = graphs[format.DECODER].file;
  const outside = ({ file }) => [`${file}_data`].filter((name) => Object.hasOwn(files, name));
  const beside = (name) =>
    parts.length > 1 && parts.some((part) => part.name === name)
      ? [whole, ...outside(graphs[format.DECODER])]
      : outside(graphs[name]);
  return Object.fromEntries(
    Object.entries(names).map(([role, name]) => [role, [graphs[name].file, ...beside(name)]]),
  );
}

/** External data as ONNX Runtime takes it: by the name that a graph in the same folder uses. */
const mounted = (path, data) => ({ path: path.split("/").at(-1), data });

/** Add up what has arrived of several files. */
function counter(sizes, onProgress) {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const loaded = sizes.map(() => 0);
  return (file, bytes) => {
    loaded[file] = bytes;
    const sum = loaded.reduce((sum, count) => sum + count, 0);
    onProgress(sum, total);
  };
}

function parse(name, bytes) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new CarveError("bundle", `${name} is not JSON. Copy or export it again.`, error);
  }
}

/** Refuse what this library does not run, before anything large is read. */
function ensureSupported(manifest) {
  const { dtype = "float32", graphs, decoder } = manifest;
  ensure(
    DTYPES.includes(dtype),
    "unsupported",
    `The bundle computes in '${dtype}', this library runs float32 and float16. Export the ` +
      "checkpoint with --dtype float16.",
  );
  const parts = decoderParts(decoder);
  const names = [...Object.values(STEPS), format.DECODER, ...parts.map(({ name }) => name)];
  const absent = names.find((name) => !Object.hasOwn(graphs, name));
  ensure(!absent, "unsupported", `The bundle has no graph ${absent}. Export the checkpoint again.`);
  const given = graphs[format.PREPROCESS].outputs.map(({ name }) => name);
  const wanted = [
    ...graphs[format.VISION_ENCODER].inputs.map(({ name }) => name),
    format.IMAGE_IDS,
  ];
  const missing = wanted.find((name) => !given.includes(name));
  ensure(
    !missing,
    "unsupported",
    `The bundle's ${format.PREPROCESS} gives no ${missing}: it was made by an older version. ` +
      "Export the checkpoint again.",
  );
  for (const part of parts) ensureInputs(part, graphs[part.name], dtype, decoder);
}

/** Refuse a part of the decoder whose inputs are not those that are fed. */
function ensureInputs(part, { inputs }, dtype, { positions, deepstack_layers: deepstack }) {
  const rank = positions === "mrope" ? 3 : 2;
  const shapes = { [format.ATTENTION_MASK]: 2, [format.POSITION_IDS]: rank };
  const known = inputs.every(({ name, dtype: given, shape }) =>
    name in shapes ? given === "int64" && shape.length === shapes[name] : given === dtype,
  );
  const added = deepstack && part.layers[0] === 0 ? 1 : 0;
  ensure(
    known && inputs.length === 3 + added + 2 * part.layers.length,
    "unsupported",
    `The graph ${part.name} has inputs that this library does not feed. Export the checkpoint again.`,
  );
}

function entryOf({ files }, name) {
  const listed = Object.hasOwn(files, name);
  ensure(listed, "bundle", `The manifest does not list ${name}. Export the checkpoint again.`);
  return files[name];
}

/** Return a file's bytes, or its path where the source has one and ONNX Runtime can open it. */
async function readFile(source, manifest, name, { verify, signal, onBytes }) {
  const entry = entryOf(manifest, name);
  const inPlace = source.path && name !== TOKENIZER_FILE;
  const file = await (inPlace
    ? source.path(name, verify, signal)
    : described(await source.read(name, onBytes, signal), verify));
  ensure(
    file.size === entry.size,
    "bundle",
    `${name} has ${file.size} bytes, the manifest says ${entry.size}. Copy it again.`,
  );
  ensure(
    !verify || file.sha256 === entry.sha256,
    "bundle",
    `${name} is not the file that the manifest describes (its SHA-256 differs). Copy it again.`,
  );
  onBytes(file.size);
  return file.content;
}

async function described(content, verify) {
  return { content, size: content.byteLength, sha256: verify && (await sha256(content)) };
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
