import type { InferenceSession, Tensor } from "onnxruntime-common";

export type ErrorCode =
  | "bundle" // a file is missing, truncated, swapped or malformed
  | "image" // not bytes, a side below 2 pixels, or too thin
  | "prompt" // empty, too long, or with control tokens in it
  | "settings" // an unknown setting, a value out of range, a layer that is not exposed
  | "provider" // ONNX Runtime cannot load a graph with the providers
  | "run" // ONNX Runtime failed
  | "unsupported"; // a bundle of a kind that this library does not run

/** What is wrong, and what to do about it. */
export class CarveError extends Error {
  readonly code: ErrorCode;
}

/** Bytes in RGB or RGBA, rows from the top; an ImageData fits. Transparency is laid over white. */
export interface PixelImage {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/**
 * Settings of a question; docs/method.md explains them. Where maxRefinedPixels is null, the refined
 * image has up to four times the image's pixels.
 */
export interface Settings {
  layers: number[];
  // settings: begin (python -m tools.checks.settings_table --write)
  steps: "first" | "all" | "last";
  strategy: "attention_sum" | "size" | "remove_small";
  rule: "released" | "paper";
  contrast: "on" | "off" | "auto";
  geometry: "input" | "released";
  finalPrompt: "pair" | "refined";
  resizeRefined: "by_size" | "twice" | "once";
  /** A number above 0, at most 1. */
  maskTopP: number | "auto";
  /** A whole number of at least 1. */
  maxRegions: number;
  /** A number from 0 to 100. */
  outlierPercent: number;
  /** A number of at least 0. */
  regularizer: number | "auto";
  /** A whole number of at least 1. */
  maxNewTokens: number;
  /** A whole number from 1 to 268435456. */
  maxRefinedPixels: number | null;
  /** A whole number from 1 to 268435456. */
  scoutPixels: number | null;
  /** A whole number from 1 to 268435456. */
  finalPixels: number | null;
  /** A number from 0 to 1. */
  sureProbability: number | null;
  /** A number of at least 0. */
  focusedEntropy: number | null;
  earlyExit: boolean;
  adaptive: boolean;
  // settings: end
}

export interface PlainResult {
  answer: string;
  /** Token ids of the answer. */
  ids: number[];
}

/** Attention to the image's tokens: steps * tapped layers * tokens. */
export interface Attention {
  attention: Float32Array;
  steps: number;
  ids: number[];
}

/** What lies between the passes. */
export interface Refinement {
  /** Of saliency and mask: the image's. */
  width: number;
  height: number;
  /** height * width; NaN where the model saw nothing. */
  saliency: Float32Array;
  /** height * width, 0 or 1. */
  mask: Uint8Array;
  /** x0, y0, x1, y1 in pixels, half-open. */
  bbox: [number, number, number, number];
  /** RGB, what the final pass saw. */
  refinedImage: { data: Uint8Array; width: number; height: number };
  /** Whether maxRefinedPixels reduced its size. */
  refinedLimited: boolean;
  /** null if the contrast is off. */
  generalAttention: Attention | null;
}

export interface CarveResult extends PlainResult, Refinement {
  /** What the model saw, in pixels of the image: x0, y0, x1, y1; may reach beyond it. */
  window: [number, number, number, number];
  plainAnswer: string;
  plainIds: number[];
  questionAttention: Attention;
  settings: Settings;
}

/** Where a bundle's files come from. */
export interface Source {
  /** Resolve to a file's bytes; may call `onBytes` with the number that has arrived. */
  read(path: string, onBytes: (loaded: number) => void): Promise<Uint8Array>;
}

/** The part of onnxruntime-node and onnxruntime-web that is used. */
export interface OnnxRuntime {
  InferenceSession: typeof InferenceSession;
  Tensor: typeof Tensor;
}

export interface LoadOptions {
  ort: OnnxRuntime;
  /** The name of its CPU provider: "cpu" in Node, "wasm" in the browser. */
  cpu: string;
  /** Execution providers of the model's graphs, best first; the CPU's by default. */
  providers?: string[];
  /** Compare SHA-256 sums, not sizes alone; true by default. */
  verify?: boolean;
  /** Is called with the bytes that have arrived and the bytes of all files. */
  onProgress?: (loaded: number, total: number) => void;
}

/** A loaded bundle. Calls may overlap; they run one after the other. */
export class Carve {
  /** Load a bundle. Rejects with a CarveError. */
  static load(source: Source, options: LoadOptions): Promise<Carve>;
  /** carve.json; docs/bundle.md explains it. */
  readonly manifest: Record<string, any>;
  /** The bundle's default settings. */
  readonly settings: Settings;
  /** Look at an image once, to ask several questions about it. */
  open(image: PixelImage): Promise<ImageSession>;
  /** Answer through CARVE; `changes` replace the bundle's settings. */
  ask(image: PixelImage, question: string, changes?: Partial<Settings>): Promise<CarveResult>;
  /** Answer with one pass over the whole image. */
  plain(image: PixelImage, question: string, changes?: Partial<Settings>): Promise<PlainResult>;
  /** Free ONNX Runtime's memory; the instance cannot be used afterwards. */
  release(): Promise<void>;
}

/** One image and any number of questions about it; Carve.open makes one. */
export class ImageSession {
  private constructor();
  /** `onPart` is called with all that is known so far: after each pass, and once refined. */
  ask(
    question: string,
    changes?: Partial<Settings>,
    onPart?: (known: Partial<CarveResult>) => void,
  ): Promise<CarveResult>;
  plain(question: string, changes?: Partial<Settings>): Promise<PlainResult>;
  /** Contrast and refine a result's attention again with other settings, without the model. */
  refineAgain(result: CarveResult, changes: Partial<Settings>): Promise<Refinement>;
}
