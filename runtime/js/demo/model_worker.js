/** The page's side of worker.js: calls become messages, answers become promises. */

export class ModelWorker {
  #worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
  #calls = new Map();
  #count = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, part, value, error } }) => {
      const call = this.#calls.get(id);
      if (part !== undefined) return call.onPart(part);
      this.#calls.delete(id);
      if (error) call.reject(Object.assign(new Error(error.message), { code: error.code }));
      else call.resolve(value);
    };
    this.#worker.onerror = ({ message }) => {
      for (const call of this.#calls.values()) call.reject(new Error(message));
      this.#calls.clear();
    };
  }

  /** Call a method of worker.js; `onPart` is called with what arrives before the answer. */
  call(method, parameters, onPart = () => {}) {
    const id = this.#count++;
    this.#worker.postMessage({ id, method, parameters });
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, onPart }));
  }
}
