/** Bundles in folders, with onnxruntime-node. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { Carve } from "./carve.js";
import { CarveError } from "./errors.js";

/** A bundle's folder as a source for Carve.load. */
export function folder(path) {
  return {
    async read(name) {
      try {
        return new Uint8Array(await readFile(join(path, name)));
      } catch (error) {
        const message = `${join(path, name)} cannot be read (${error.code}). Check the path.`;
        throw new CarveError("bundle", message, error);
      }
    },
  };
}

/** Load a bundle from a folder; options as for Carve.load, `ort` and `cpu` excepted. */
export async function loadFolder(path, options = {}) {
  const ort = await import("onnxruntime-node");
  return Carve.load(folder(path), { ort: ort.default ?? ort, cpu: "cpu", ...options });
}

export { Carve, CarveError };
