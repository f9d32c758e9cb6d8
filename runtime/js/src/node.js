/** Bundles in folders and pictures in files, with onnxruntime-node. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { Carve } from "./carve.js";
import { CarveError, ensure } from "./errors.js";
import { decodeWithSharp } from "./images/sharp.js";

/** A bundle's folder as a source for Carve.load. */
export function folder(path) {
  /** Do something with a file of the bundle; what Node says of a failure becomes a CarveError. */
  async function attempt(name, signal, action) {
    const file = join(path, name);
    try {
      return await action(file);
    } catch (error) {
      signal?.throwIfAborted();
      const message = `${file} cannot be read (${error.code}). Check the path.`;
      throw new CarveError("bundle", message, error);
    }
  }
  return {
    read: (name, onBytes, signal) =>
      attempt(name, signal, async (file) => new Uint8Array(await readFile(file, { signal }))),
    path: (name, sum, signal) =>
      attempt(name, signal, async (file) => ({
        content: file,
        size: (await stat(file)).size,
        sha256: sum && (await sha256(file, signal)),
      })),
  };
}

async function sha256(file, signal) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { signal })) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * Import onnxruntime-node so that it holds half precision as Uint16Array: its native part (1.30) reads
 * no Float16Array, which Node has since version 24. It looks for one when it makes its first tensor.
 */
async function importRuntime() {
  const module = await import("onnxruntime-node").catch((cause) => {
    const message = `onnxruntime-node cannot be loaded (${cause.code}). Install it beside carve-vlm.`;
    throw new CarveError("unsupported", message, cause);
  });
  const ort = module.default ?? module;
  const half = Object.getOwnPropertyDescriptor(globalThis, "Float16Array");
  if (half) {
    delete globalThis.Float16Array;
    try {
      new ort.Tensor("float16", new Uint16Array(0), [0]);
    } finally {
      Object.defineProperty(globalThis, "Float16Array", half);
    }
  }
  return ort;
}

/** Load a bundle from a folder; options as for Carve.load, `ort` and `cpu` excepted. */
export async function loadFolder(path, options = {}) {
  ensure(typeof path === "string", "bundle", `The folder is ${path}. Give the path of a bundle.`);
  const own = { ort: await importRuntime(), cpu: "cpu", decode: decodeWithSharp };
  return Carve.load(folder(path), { ...own, ...options });
}

export { Carve, CarveError };
