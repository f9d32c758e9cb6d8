/** Bundles behind an address, with onnxruntime-web and the browser's decoders. */
import { Carve } from "./carve.js";
import { CarveError } from "./errors.js";
import { decodeWithBrowser } from "./images/browser.js";

/** A bundle's address, that of the folder, as a source for Carve.load. */
export function remote(url) {
  const base = new URL(url.endsWith("/") ? url : `${url}/`, globalThis.location?.href);
  return {
    async read(name, onBytes, signal) {
      const address = new URL(name, base);
      try {
        const response = await fetch(address, { signal });
        if (response.ok) return await collect(response, onBytes);
        throw new CarveError("bundle", `${address}: ${response.status}. Check the address.`);
      } catch (error) {
        if (error instanceof CarveError) throw error;
        signal?.throwIfAborted();
        throw new CarveError("bundle", `${address} cannot be fetched. Check the address.`, error);
      }
    },
  };
}

async function collect(response, onBytes) {
  const chunks = [];
  let loaded = 0;
  for (let reader = response.body.getReader(); ;) {
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
 * Options are those of Carve.load. `providers: ["webgpu"]` runs the model's graphs there; the steps
 * around it stay in WebAssembly.
 */
export async function loadUrl(url, options) {
  return Carve.load(remote(url), { cpu: "wasm", decode: decodeWithBrowser, ...options });
}

export { Carve, CarveError };
