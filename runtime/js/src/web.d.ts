import { Carve, CarveError, type LoadOptions, type OnnxRuntime, type Source } from "./index.js";

/** Is told of bytes that have arrived. */
export type OnProgress = (file: string, loaded: number, total: number) => void;

/** A bundle's address as a source for Carve.load. */
export function remote(url: string, onProgress?: OnProgress): Source;

/** Load a bundle from an address; `ort` is an imported onnxruntime-web. */
export function loadUrl(
  url: string,
  options: Partial<LoadOptions> & { ort: OnnxRuntime; onProgress?: OnProgress },
): Promise<Carve>;

export { Carve, CarveError };
