/** Bundles behind an address, with onnxruntime-web. */
import { Carve } from "./carve.js";
import { CarveError } from "./errors.js";

/**
 * A bundle's address as a source for Carve.load.
 *
 * @param url of the folder.
 * @param onProgress is told `(file, loaded, total)` in bytes while files arrive.
 */
export function remote(url, onProgress = () => {}) {
  const base = new URL(url.endsWith("/") ? url : `${url}/`, globalThis.location?.href);
  return {
    async read(name, size) {
      const address = new URL(name, base);
      const response = await fetch(address).catch((error) => {
        throw new CarveError("bundle", `${address} cannot be fetched. Check the address.`, error);
      });
      if (!response.ok) {
        throw new CarveError("bundle", `${address}: ${response.status}. Check the address.`);
      }
      return collect(response, (loaded) => onProgress(name, loaded, size ?? loaded));
    },
  };
}

async function collect(response, onBytes) {
  const chunks = [];
  let loaded = 0;
  for (let reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    onBytes((loaded += value.length));
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/**
 * Load a bundle from an address with `ort`, an imported onnxruntime-web.
 *
 * Options are those of Carve.load, and `onProgress`. `providers: ["webgpu"]` runs the model's graphs
 * there; the steps around it stay in WebAssembly.
 */
export async function loadUrl(url, { onProgress, ...options }) {
  return Carve.load(remote(url, onProgress), { cpu: "wasm", ...options });
}

export { Carve, CarveError };
