/** The model runs here, so that the page never waits. */
import { loadUrl } from "../src/web.js";
import { serve } from "../src/worker.js";

/**
 * Load ONNX Runtime of a kind ("wasm", "webgpu") and the bundle.
 *
 * @param options `onProgress`, called with `(loaded, total)` in bytes on the way here; and `signal`.
 */
async function load(kind, { onProgress, signal }) {
  const arrived = { runtime: [0, RUNTIMES[kind].size], bundle: [0, 0] };
  const progress = (part) => (loaded, total) => {
    arrived[part] = [loaded, total];
    const { runtime, bundle } = arrived;
    if (bundle[1]) onProgress(runtime[0] + bundle[0], runtime[1] + bundle[1]);
  };
  const ort = await runtime(kind, progress("runtime"), signal);
  return loadUrl("bundle/", { ort, providers: [kind], onProgress: progress("bundle"), signal });
}

/** Load ONNX Runtime; its WebAssembly, compressed, is fetched here for the progress. */
async function runtime(kind, onProgress, signal) {
  const { file, size } = RUNTIMES[kind];
  const imported = kind === "webgpu" ? import("onnxruntime-web") : import("onnxruntime-web/wasm");
  let loaded = 0;
  const counted = new TransformStream({
    transform(chunk, controller) {
      onProgress((loaded += chunk.length), size);
      controller.enqueue(chunk);
    },
  });
  const response = await fetch(file, { signal });
  if (!response.ok) throw new Error(`${file}: ${response.status}. Assemble the page again.`);
  const unpacked = response.body.pipeThrough(counted).pipeThrough(new DecompressionStream("gzip"));
  const binary = await new Response(unpacked).arrayBuffer();
  const ort = await imported;
  ort.env.wasm.wasmPaths = new URL("ort/", self.location).href;
  ort.env.wasm.wasmBinary = new Uint8Array(binary);
  return ort;
}

serve(self, load);
