/**
 * The worker's side: messages become calls.
 *
 * In: `{ id, target, method, parameters, options, listeners }`, or `{ id, abort: true }`. Out:
 * `{ id, value }` or `{ id, error }`, and before that `{ id, listener, values }`. A target is a
 * number: 0 for the worker itself, others for what it has opened.
 */
import { CarveError, ensure } from "../errors.js";
import { ImageSession } from "../session.js";

/**
 * Answer a page, or another thread.
 *
 * @param scope the worker's global scope, in Node `parentPort`.
 * @param load takes what `connect`'s function is given, and returns a Carve.
 */
export function serve(scope, load) {
  scope.addEventListener("message", ({ data: { port } }) => port && new Server(port, load));
}

class Server {
  #port;
  #objects = new Map();
  #count = 0;
  #calls = new Map(); // controllers

  constructor(port, load) {
    this.#port = port;
    this.#objects.set(this.#count++, { load });
    port.onmessage = ({ data }) => this.#receive(data);
  }

  async #receive({ id, abort, target, method, parameters, options, listeners }) {
    if (abort) return this.#calls.get(id)?.abort();
    const controller = new AbortController();
    this.#calls.set(id, controller);
    const listening = listeners.map((name) => [name, this.#listener(id, name)]);
    const given = { ...options, ...Object.fromEntries(listening), signal: controller.signal };
    try {
      const value = await this.#call(target, method, parameters, given);
      this.#port.postMessage({ id, value });
    } catch (error) {
      // Others have codes too: numbers, or names of the system's errors.
      const code = error instanceof CarveError ? error.code : undefined;
      this.#port.postMessage({ id, error: { code, message: String(error?.message ?? error) } });
    } finally {
      this.#calls.delete(id);
    }
  }

  async #call(target, method, parameters, options) {
    if (method === "close") return void this.#objects.delete(target);
    const object = this.#objects.get(target);
    ensure(object, "run", `There is nothing to call ${method} of: it was closed. Open it again.`);
    const value = await object[method](...parameters, options);
    if (method === "load")
      return { target: this.#keep(value), manifest: value.manifest, settings: value.settings };
    return value instanceof ImageSession ? { target: this.#keep(value) } : value;
  }

  #keep(object) {
    this.#objects.set(this.#count, object);
    return this.#count++;
  }

  /** Tell the other side; of a growing result only what it has not been told. */
  #listener(id, name) {
    const told = new Set();
    const isNew = ([key]) => !told.has(key) && told.add(key);
    const fresh = (known) => Object.fromEntries(Object.entries(known).filter(isNew));
    return (...values) => {
      const sent = name === "onPart" ? values.map(fresh) : values;
      this.#port.postMessage({ id, listener: name, values: sent });
    };
  }
}
