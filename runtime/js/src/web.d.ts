import { Carve, CarveError, type LoadOptions, type OnnxRuntime, type Source } from "./index.js";

/** A bundle's address as a source for Carve.load. */
export function remote(url: string): Source;

/** Load a bundle from an address; `ort` is an imported onnxruntime-web. */
export function loadUrl(
  url: string,
  options: Partial<LoadOptions> & { ort: OnnxRuntime },
): Promise<Carve>;

export { Carve, CarveError };
