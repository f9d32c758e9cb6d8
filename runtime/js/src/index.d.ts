import type { InferenceSession, Tensor } from "onnxruntime-common";

export type ErrorCode =
  | "bundle" // a file is missing, truncated, swapped or malformed
  | "image" // cannot be read, a side below 2 pixels, or too thin
  | "prompt" // empty, too long, or with control tokens in it
  | "settings" // an unknown setting or option, a value out of range, a layer that is not exposed
  | "provider" // ONNX Runtime cannot load a graph with the providers
  | "run" // ONNX Runtime failed
  | "unsupported"; // a bundle that this library does not run, or a package that is not installed

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
 * An image: pixels, or what `decode` of LoadOptions knows. In Node (loadFolder, by the package sharp): a
 * path, a file: URL, encoded bytes or a Blob. In the browser (loadUrl): an address, encoded bytes, a Blob,
 * or what a canvas can draw, such as an ImageBitmap, an element or a video's frame.
 */
export type ImageInput =
  | PixelImage
  | string
  | URL
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | VideoFrame;

/** Turns an image that is not pixels into some. */
export type Decode = (image: ImageInput, signal?: AbortSignal) => Promise<PixelImage>;

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
  method: "contrast" | "question" | "relative" | "rollout" | "sharpest_layer" | "sink_removal" | "agreement";
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

/** Settings that replace the bundle's; a variant, of the released code, is applied before the others. */
export type SettingsChanges = Partial<Settings> & { variant?: "v1" | "v2" | "v3" | "v4" };

/** A stretch of text while it is generated, and the pass that generates it. */
export interface Token {
  stage: "question" | "general" | "final";
  text: string;
}

export interface CallOptions {
  /** Stops the call, which rejects with the signal's reason at once, before or behind a graph's run. */
  signal?: AbortSignal;
  /** Is called with the text of all passes as it is generated. */
  onToken?: (token: Token) => void;
}

export interface AskOptions extends CallOptions {
  /** Is called with all that is known so far: after each pass, and once refined. */
  onPart?: (known: Partial<CarveResult>) => void;
}

export interface PlainOptions extends CallOptions {
  /** A second image, to ask about the pair: a crop of your own, for instance. */
  refined?: ImageInput;
}

/** Tokens to iterate over once; to stop aborts what still runs. */
export interface TokenStream extends AsyncIterable<Token> {
  /** The whole result. */
  readonly result: Promise<CarveResult>;
}

export interface PlainResult {
  answer: string;
  /** Token ids of the answer. */
  ids: number[];
  /** The model's own probability of the answer, its end included: the product over its steps. */
  probability: number;
}

/** A pass's attention to the tokens of the map: steps * layers * tokens numbers. */
export interface PassAttention {
  attention: Float32Array;
  steps: number;
  /** Of the decoder: those whose rows they are. */
  layers: number[];
  tokens: number;
  ids: number[];
  /** The model's own probability of these ids, their end included. */
  probability: number;
}

export interface AttendOptions extends CallOptions {
  /** Most steps, 1 by default: the first one decides the first word of the answer. */
  generate?: number;
}

/**
 * What a greedy pass has attended to. Step `s` reads the prompt and the first `s` words of the answer,
 * and decides the next word. A layer is named by its number in the decoder; the mean over all that
 * the bundle exposes if it is left out. Step -1 is the last one. What is not here is refused with a
 * CarveError.
 */
export class Attention {
  /** From what another thread sent. */
  constructor(fields: Pick<Attention, AttentionField>);
  /** steps * layers * positions numbers, the mean over heads; 0 behind what a step has read. */
  readonly rows: Float32Array;
  readonly steps: number;
  /** Of the decoder, ascending. */
  readonly layers: number[];
  readonly positions: number;
  /** What was read: token ids, -1 for each image token. */
  readonly ids: number[];
  /** The same as text; "" for image tokens, and U+FFFD for parts of a character. */
  readonly tokens: string[];
  /** What each step decided, the end included. */
  readonly words: string[];
  readonly answer: string;
  /** The positions that form the map, in raster order. */
  readonly mapTokens: number[];
  /** Rows and columns of the map. */
  readonly grid: [number, number];
  /** What the map covers, in pixels of the image: x0, y0, x1, y1. */
  readonly window: [number, number, number, number];
  /** Width and height. */
  readonly imageSize: [number, number];
  /** What one step attends to, over the positions that it read; sums to 1. */
  row(step?: number, layer?: number): Float32Array;
  /** The attention to the image: rows * columns of the grid. */
  gridMap(step?: number, layer?: number): Float32Array;
  /** The attention in the picture's coordinates: height * width; NaN where the model saw nothing. */
  map(step?: number, layer?: number): Float32Array;
  /** What is read as text, in order, each with its share. */
  overText(step?: number, layer?: number): { token: string; share: number }[];
  /** For each step and layer the share that falls on image tokens. */
  mass(): number[][];
  /** For each step and layer the entropy over the map's tokens, in nats. */
  entropy(): number[][];
  /** Positions that receive `factor` (10) times the mean in every step, whatever is decided. */
  sinks(factor?: number): number[];
}

type AttentionField =
  | ("rows" | "layers" | "ids" | "tokens" | "words" | "answer")
  | ("mapTokens" | "grid" | "window" | "imageSize");

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
  /** null if the contrast is off, or nothing was refined. */
  generalAttention: PassAttention | null;
}

export interface CarveResult extends PlainResult, Refinement {
  /** What the model saw, in pixels of the image: x0, y0, x1, y1; may reach beyond it. */
  window: [number, number, number, number];
  /** Rows and columns of the attention map. */
  grid: [number, number];
  /** null after an early exit, like the next two. */
  plainAnswer: string | null;
  plainIds: number[] | null;
  /** The same of the plain answer. */
  plainProbability: number | null;
  questionAttention: PassAttention;
  /** Attention entropy of the question pass's last step, in nats. */
  entropy: number;
  /** Why `adaptive` kept the plain answer; null if it did not. Nothing is refined then. */
  skipped: string | null;
  settings: Settings;
}

/** Where a bundle's files come from. */
export interface Source {
  /** Resolve to a file's bytes; may call `onBytes` with the number that has arrived. */
  read(path: string, onBytes: (loaded: number) => void, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Resolve to a file that ONNX Runtime opens by itself: its path, its size and, if `sum`, its SHA-256.
   * Where there is none, graphs are read.
   */
  path?(
    path: string,
    sum: boolean,
    signal?: AbortSignal,
  ): Promise<{ content: string; size: number; sha256: string | false }>;
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
  /** Turns images that are not pixels into some; loadFolder and loadUrl bring their own. */
  decode?: Decode;
  /** Stops loading. */
  signal?: AbortSignal;
}

/** A loaded bundle. Calls may overlap; they run one after the other. */
export class Carve {
  /** Load a bundle. Rejects with a CarveError. */
  static load(source: Source, options: LoadOptions): Promise<Carve>;
  /** carve.json; docs/bundle.md explains it. */
  readonly manifest: Record<string, any>;
  /** The bundle's default settings. */
  readonly settings: Settings;
  /** Look at an image once, to ask several questions about it, all with these scoutPixels. */
  open(
    image: ImageInput,
    options?: { scoutPixels?: number | null; signal?: AbortSignal },
  ): Promise<ImageSession>;
  /** Answer through CARVE; `changes` replace the bundle's settings. */
  ask(
    image: ImageInput,
    question: string,
    changes?: SettingsChanges,
    options?: AskOptions,
  ): Promise<CarveResult>;
  /** Answer as `ask` does, and give the tokens of all passes meanwhile. */
  stream(
    image: ImageInput,
    question: string,
    changes?: SettingsChanges,
    options?: AskOptions,
  ): TokenStream;
  /** Answer with one pass over the whole image, or about the pair. */
  plain(
    image: ImageInput,
    question: string,
    changes?: Pick<SettingsChanges, "maxNewTokens">,
    options?: PlainOptions,
  ): Promise<PlainResult>;
  /** Return where the model looks while it reads a text about an image, and answers it. */
  attend(image: ImageInput, text: string, options?: AttendOptions): Promise<Attention>;
  /** Free ONNX Runtime's memory; the instance cannot be used afterwards. */
  release(): Promise<void>;
}

/** One image and any number of questions about it; Carve.open makes one. */
export class ImageSession {
  private constructor();
  ask(question: string, changes?: SettingsChanges, options?: AskOptions): Promise<CarveResult>;
  stream(question: string, changes?: SettingsChanges, options?: AskOptions): TokenStream;
  plain(
    question: string,
    changes?: Pick<SettingsChanges, "maxNewTokens">,
    options?: PlainOptions,
  ): Promise<PlainResult>;
  /** Return the attention as Carve.attend does. */
  attend(text: string, options?: AttendOptions): Promise<Attention>;
  /**
   * Return how much another image differs from this one, as the model sees both: the mean absolute
   * difference of the cell of 4 x 4 pixels of the vision encoder's input that differs most, in levels
   * of 255; infinite for an image of another size. Ask about a camera's frame again from 20 or so on.
   */
  change(image: ImageInput, options?: { signal?: AbortSignal }): Promise<number>;
  /** Contrast and refine a result's attention again with other settings, without the model. */
  refineAgain(
    result: Pick<CarveResult, "questionAttention" | "settings">,
    changes?: SettingsChanges,
    options?: { signal?: AbortSignal },
  ): Promise<Refinement>;
}
