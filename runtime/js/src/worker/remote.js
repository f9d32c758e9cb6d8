/** The other side of serve.js: calls become messages, with the methods of Carve and ImageSession. */
import { CarveError } from "../errors.js";
import { TokenStream } from "../stream.js";

/**
 * Connect to a worker that calls `serve`.
 *
 * @param worker a Worker of the browser or of Node.
 * @returns a function that loads a bundle there: its parameters go to the worker's own `load`, the
 *     last of them options (`signal`, functions whose names begin with "on", and what can be cloned).
 */
export function connect(worker) {
  const connection = new Connection(worker);
  return async (...parameters) => {
    const options = parameters.pop();
    const { target, manifest, settings } = await connection.call(0, "load", parameters, options);
    return new RemoteCarve(connection, target, { manifest, settings });
  };
}

class Connection {
  #port;
  #calls = new Map();
  #count = 0;

  constructor(worker) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }) => this.#receive(data);
    worker.postMessage({ port: port2 }, [port2]);
    const failed = (event) => this.#fail(event);
    if (worker.addEventListener) worker.addEventListener("error", failed);
    else worker.on("error", failed);
  }

  /** Call a method of something in the worker. */
  call(target, method, parameters, { signal, ...options } = {}) {
    signal?.throwIfAborted();
    const id = this.#count++;
    const functions = Object.entries(options).filter(([, value]) => typeof value === "function");
    const listeners = functions.map(([name]) => name);
    const cloned = Object.entries(options).filter(([name]) => !listeners.includes(name));
    const message = {
      id,
      target,
      method,
      parameters,
      options: Object.fromEntries(cloned),
      listeners,
    };
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#port.postMessage({ id, abort: true });
        settle(reject)(signal.reason);
      };
      const settle = (how) => (value) => {
        signal?.removeEventListener("abort", abort);
        this.#calls.delete(id);
        if (!this.#calls.size) this.#port.unref?.(); // Node ends where nothing is awaited
        how(value);
      };
      this.#calls.set(id, {
        resolve: settle(resolve),
        reject: settle(reject),
        tell: told(Object.fromEntries(functions)),
      });
      signal?.addEventListener("abort", abort);
      this.#port.ref?.();
      this.#port.postMessage(message);
    });
  }

  #receive({ id, listener, values, value, error }) {
    const call = this.#calls.get(id);
    if (!call) return; // aborted
    if (listener) call.tell(listener, values);
    else if (error) call.reject(errorOf(error));
    else call.resolve(value);
  }

  #fail({ message = "The worker cannot be started. Check its address." }) {
    for (const call of this.#calls.values()) call.reject(errorOf({ message }));
  }
}

/** Return what tells a call's listeners; parts of a result are put together again. */
function told(listeners) {
  const known = {};
  return (name, values) => {
    if (name === "onPart") listeners.onPart({ ...Object.assign(known, ...values) });
    else listeners[name](...values);
  };
}

const errorOf = ({ code, message }) =>
  code === undefined ? new Error(message) : new CarveError(code, message);

/** What Carve and ImageSession have in common. */
class Remote {
  constructor(connection, target) {
    this.connection = connection;
    this.target = target;
  }

  /** Let the worker forget it. */
  close() {
    return this.call("close", []);
  }

  call(method, parameters, options) {
    return this.connection.call(this.target, method, parameters, options);
  }
}

class RemoteCarve extends Remote {
  constructor(connection, target, { manifest, settings }) {
    super(connection, target);
    this.manifest = manifest;
    this.settings = settings;
  }

  async open(image, options) {
    const { target } = await this.call("open", [image], options);
    return new RemoteSession(this.connection, target);
  }

  ask(image, question, changes = {}, options = {}) {
    return this.call("ask", [image, question, changes], options);
  }

  plain(image, question, changes = {}, options = {}) {
    return this.call("plain", [image, question, changes], options);
  }

  stream(image, question, changes, options = {}) {
    const start = (given) => this.ask(image, question, changes, { ...options, ...given });
    return new TokenStream(start, options);
  }

  async release() {
    await this.call("release", []);
    await this.close();
  }
}

class RemoteSession extends Remote {
  ask(question, changes = {}, options = {}) {
    return this.call("ask", [question, changes], options);
  }

  plain(question, changes = {}, options = {}) {
    return this.call("plain", [question, changes], options);
  }

  stream(question, changes, options = {}) {
    return new TokenStream(
      (given) => this.ask(question, changes, { ...options, ...given }),
      options,
    );
  }

  refineAgain({ questionAttention, settings }, changes, options) {
    return this.call("refineAgain", [{ questionAttention, settings }, changes], options);
  }
}
