/** The model runs here, so that the page never waits. Messages: see model_worker.js. */
import { loadUrl } from "../src/web.js";

let vlm;
let session;
let result;

const methods = {
  /** Load ONNX Runtime of a kind ("wasm", "webgpu") and the bundle. */
  async load(kind, onPart) {
    const arrived = { runtime: 0, bundle: 0 };
    const totals = { runtime: RUNTIMES[kind].size, bundle: RUNTIMES[kind].size };
    const progress = (part) => (loaded, total) => {
      arrived[part] = loaded;
      totals[part] = total;
      onPart((arrived.runtime + arrived.bundle) / (totals.runtime + totals.bundle));
    };
    const ort = await runtime(kind, progress("runtime"));
    await vlm?.release();
    const providers = [kind];
    vlm = await loadUrl("bundle/", { ort, providers, onProgress: progress("bundle") });
    return { manifest: vlm.manifest, settings: vlm.settings, threads: ort.env.wasm.numThreads };
  },

  /** Encode an image, to ask about it. */
  async open(image) {
    session = await vlm.open(image);
  },

  /** Ask about the image; each part, and what is returned, holds what was not known before. */
  async ask(question, settings, onPart) {
    const sent = new Set();
    const fresh = (known) =>
      Object.fromEntries(Object.entries(known).filter(([name]) => !sent.has(name) && sent.add(name)));
    result = await session.ask(question, settings, (known) => onPart(fresh(known)));
    // The controls may ask for the general instruction's later steps: compute them beforehand.
    session.refineAgain(result, { steps: "all" }).catch(() => {});
    return fresh(result);
  },

  /** Contrast and refine the last answer's attention again. */
  async refine(settings) {
    return session.refineAgain(result, settings);
  },
};

/** Load ONNX Runtime; its WebAssembly is fetched here, for the progress. */
async function runtime(kind, onProgress) {
  const { file, size } = RUNTIMES[kind];
  const imported =
    kind === "webgpu" ? import("onnxruntime-web") : import("onnxruntime-web/wasm");
  const response = await fetch(file);
  const binary = new Uint8Array(size);
  let loaded = 0;
  for (let reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    binary.set(value, loaded);
    onProgress((loaded += value.length), size);
  }
  const ort = await imported;
  ort.env.wasm.wasmPaths = new URL("ort/", self.location).href;
  ort.env.wasm.wasmBinary = binary;
  return ort;
}

self.onmessage = async ({ data: { id, method, parameters } }) => {
  try {
    const value = await methods[method](...parameters, (part) => postMessage({ id, part }));
    postMessage({ id, value });
  } catch (error) {
    postMessage({ id, error: { code: error.code ?? "page", message: error.message } });
  }
};
