import { type Carve, type ImageSession, type LoadOptions } from "./index.js";

/** What both sides' load functions take last, as far as it can be sent to the other side. */
export type RemoteOptions = Pick<LoadOptions, "providers" | "verify" | "onProgress" | "signal">;

/** The global scope of a worker, or Node's parentPort. */
export interface WorkerScope {
  addEventListener(type: "message", listener: (event: any) => void): void;
}

/** A Worker of the browser or of Node. */
export interface WorkerLike {
  postMessage(message: any, transfer: any[]): void;
}

/** In a worker: answer `connect`. `load` takes its function's parameters and returns a Carve. */
export function serve(scope: WorkerScope, load: (...parameters: any[]) => Promise<Carve>): void;

/** Return a function that loads a bundle in a worker which calls `serve`. */
export function connect(
  worker: WorkerLike,
): (...parameters: [...unknown[], RemoteOptions]) => Promise<RemoteCarve>;

/** A Carve in a worker: the same calls, with what can be sent there as images. */
export interface RemoteCarve extends Omit<Carve, "open"> {
  open(...parameters: Parameters<Carve["open"]>): Promise<RemoteSession>;
}

/** An ImageSession in a worker. */
export interface RemoteSession extends Omit<ImageSession, never> {
  /** Let the worker forget the image. */
  close(): Promise<void>;
}
