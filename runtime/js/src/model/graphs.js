/** The bundle's graphs, loaded into ONNX Runtime. */
import * as format from "../bundle_format.js";
import { CarveError, ensure } from "../errors.js";

// The steps around the model are in double precision and integers: work for the CPU.
const STEPS = ["preprocess", "refine"];

export class Graphs {
  #ort;
  #sessions;

  constructor(ort, sessions) {
    this.#ort = ort;
    this.#sessions = sessions;
  }

  /**
   * Load the graphs.
   *
   * @param ort onnxruntime-node or onnxruntime-web.
   * @param files by role, `model` (a path or bytes) and `externalData` (see bundle.js).
   * @param options `providers` (of the model's graphs, best first), `cpu` (the provider of the steps
   *     around the model) and `signal`.
   */
  static async load(ort, files, { providers, cpu, signal }) {
    const sessions = {};
    const graphs = new Graphs(ort, sessions);
    try {
      for (const [role, file] of Object.entries(files)) {
        signal?.throwIfAborted();
        const executionProviders = STEPS.includes(role) ? [cpu] : providers;
        sessions[role] = await created(ort, role, file, executionProviders);
      }
      signal?.throwIfAborted();
    } catch (error) {
      await graphs.release();
      throw error;
    }
    return graphs;
  }

  async release() {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  tensor(type, data, dims) {
    return new this.#ort.Tensor(type, data, dims);
  }

  /** An array of zeros of the type in which ONNX Runtime holds numbers of a dtype. */
  numbers(dtype, length) {
    const half = () => this.tensor("float16", new Uint16Array(0), [0]).data.constructor;
    const Numbers = dtype === "float16" ? half() : Float32Array;
    return new Numbers(length);
  }

  /** A tensor of int64. */
  integers(values, dims = [1, values.length]) {
    return this.tensor("int64", BigInt64Array.from(values, BigInt), dims);
  }

  async run(role, feeds) {
    try {
      return await this.#sessions[role].run(feeds);
    } catch (error) {
      throw new CarveError("run", `ONNX Runtime failed in ${role}: ${error.message}`, error);
    }
  }

  /** Run the image rule on an RGB image, in at most so many pixels; 0 is the model's own limit. */
  preprocess({ data, width, height }, maxPixels) {
    return this.run("preprocess", {
      [format.IMAGE]: this.tensor("uint8", data, [height, width, 3]),
      [format.MAX_PIXELS]: this.integers([maxPixels], []),
    });
  }
}

async function created(ort, role, { model, externalData }, executionProviders) {
  // A path finds what stands beside it by itself.
  const beside = typeof model === "string" || !externalData.length ? {} : { externalData };
  const options = { executionProviders, logSeverityLevel: 4, ...beside };
  try {
    return await ort.InferenceSession.create(model, options);
  } catch (error) {
    const message = `ONNX Runtime cannot load the graph ${role} with ${executionProviders}`;
    throw new CarveError("provider", `${message}: ${error.message}`, error);
  }
}

/** Refuse a graph's output that does not have as many numbers as the manifest promises. */
export function ensureLength(name, data, expected) {
  ensure(
    data.length === expected,
    "bundle",
    `The graph's output ${name} has ${data.length} numbers, expected ${expected}. Copy the ` +
      "bundle again, or export it again.",
  );
}
