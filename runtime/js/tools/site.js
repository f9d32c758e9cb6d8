/** Assemble the page and all that it needs into one folder that any static server can serve. */
import { build } from "esbuild";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { GRAPHS } from "../src/bundle.js";
import { MANIFEST_FILE, TOKENIZER_FILE } from "../src/bundle_format.js";

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
  const { graphs } = JSON.parse(await readFile(join(bundle, MANIFEST_FILE), "utf8"));
  const names = Object.values(GRAPHS).map((name) => graphs[name].file);
  for (const name of [MANIFEST_FILE, TOKENIZER_FILE, ...names]) {
    await cp(join(bundle, name), join(folder, name));
  }
  if (!existsSync(join(bundle, EXAMPLE))) return null;
  await cp(join(bundle, EXAMPLE), join(folder, EXAMPLE));
  return `bundle/${EXAMPLE}`;
}

/** Copy ONNX Runtime's WebAssembly; returns file and size by kind. */
async function copyRuntimes(folder) {
  const runtimes = {};
  for (const [kind, name] of Object.entries(RUNTIMES)) {
    for (const suffix of [".mjs", ".wasm"]) {
      await cp(join(ORT, name + suffix), join(folder, name + suffix));
    }
    const { size } = await stat(join(folder, `${name}.wasm`));
    runtimes[kind] = { file: `ort/${name}.wasm`, size };
  }
  return runtimes;
}
