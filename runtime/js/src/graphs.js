/** The bundle's graphs, loaded into ONNX Runtime. */
import { CarveError } from "./errors.js";

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
   * @param bytes the graphs' files, by role (`GRAPHS`).
   * @param providers execution providers of the model's graphs, best first.
   * @param cpu the provider of the steps around the model.
   */
  static async load(ort, bytes, providers, cpu) {
    const sessions = {};
    for (const [role, file] of Object.entries(bytes)) {
      const executionProviders = STEPS.includes(role) ? [cpu] : providers;
      const options = { executionProviders, logSeverityLevel: 4 };
      try {
        sessions[role] = await ort.InferenceSession.create(file, options);
      } catch (error) {
        const message = `ONNX Runtime cannot load the graph ${role} with ${executionProviders}`;
        throw new CarveError("provider", `${message}: ${error.message}`, error);
      }
    }
    return new Graphs(ort, sessions);
  }

  async release() {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  tensor(type, data, dims) {
    return new this.#ort.Tensor(type, data, dims);
  }

  async run(role, feeds) {
    try {
      return await this.#sessions[role].run(feeds);
    } catch (error) {
      throw new CarveError("run", `ONNX Runtime failed in ${role}: ${error.message}`, error);
    }
  }
}
