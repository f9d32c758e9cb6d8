/** Assemble the page and all that it needs into one folder that any static server can serve. */
import { build } from "esbuild";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { cp, mkdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { constants, createGzip } from "node:zlib";

import { filesRead, readManifest } from "../src/bundle/bundle.js";
import { folder as bundleFolder } from "../src/node.js";

const ROOT = join(import.meta.dirname, "..");
const PAGE = join(ROOT, "demo");
const EXAMPLE = "example.jpg";

export const POCKET = join(ROOT, "../../models/pocket");
export const SITE = join(ROOT, "build/site");

// What ONNX Runtime loads by name: plain WebAssembly, and the build that can also use WebGPU. The newer
// such build, "asyncify", lacks casts that the steps around the model need.
const ORT = dirname(fileURLToPath(import.meta.resolve("onnxruntime-web/wasm")));
const RUNTIMES = { wasm: "ort-wasm-simd-threaded", webgpu: "ort-wasm-simd-threaded.jsep" };

/**
 * Write the site; what stood in the folder before is removed.
 *
 * @param bundle folder of the bundle that the page asks.
 * @param site folder to write.
 */
export async function assemble(bundle = POCKET, site = SITE) {
  await rm(site, { recursive: true, force: true });
  await mkdir(site, { recursive: true });
  const example = await copyBundle(bundle, join(site, "bundle"));
  const runtimes = await copyRuntimes(join(site, "ort"));
  await build({
    entryPoints: ["page.js", "worker.js", "style.css"].map((name) => join(PAGE, name)),
    outdir: site,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    sourcemap: true,
    conditions: ["onnxruntime-web-use-extern-wasm"],
    loader: { ".woff2": "file" },
    define: { RUNTIMES: JSON.stringify(runtimes), EXAMPLE: JSON.stringify(example) },
    logLevel: "warning",
  });
  await cp(join(PAGE, "index.html"), join(site, "index.html"));
}

/** Copy what the library reads of a bundle; returns its example picture's address, or null. */
async function copyBundle(bundle, folder) {
  const manifest = await readManifest(bundleFolder(bundle));
  for (const name of filesRead(manifest)) {
    await cp(join(bundle, name), join(folder, name));
  }
  if (!existsSync(join(bundle, EXAMPLE))) return null;
  await cp(join(bundle, EXAMPLE), join(folder, EXAMPLE));
  return `bundle/${EXAMPLE}`;
}

/**
 * Copy ONNX Runtime's WebAssembly; returns file and size by kind.
 *
 * It is a quarter as large compressed, which servers do or do not do on the way: so it lies there
 * compressed, under a name that they leave alone, and worker.js unpacks it.
 */
async function copyRuntimes(folder) {
  const runtimes = {};
  await mkdir(folder);
  for (const [kind, name] of Object.entries(RUNTIMES)) {
    await cp(join(ORT, `${name}.mjs`), join(folder, `${name}.mjs`));
    const file = `${name}.wasm.gzip`;
    const smallest = createGzip({ level: constants.Z_BEST_COMPRESSION });
    const target = createWriteStream(join(folder, file));
    await pipeline(createReadStream(join(ORT, `${name}.wasm`)), smallest, target);
    const { size } = await stat(join(folder, file));
    runtimes[kind] = { file: `ort/${file}`, size };
  }
  return runtimes;
}
