import { Carve, CarveError, type LoadOptions, type Source } from "./index.js";

/** A bundle's folder as a source for Carve.load. */
export function folder(path: string): Source;

/** Load a bundle from a folder, with onnxruntime-node. The package sharp, if installed, reads pictures. */
export function loadFolder(path: string, options?: Partial<LoadOptions>): Promise<Carve>;

export { Carve, CarveError };
