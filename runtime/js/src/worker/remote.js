/** The other side of serve.js: calls become messages, with the methods of Carve and ImageSession. */
import { Attention } from "../attention/attention.js";
import { CarveError } from "../errors.js";
import { checkedSignal } from "../options.js";
import { TokenStream } from "../stream.js";

const WORKER = 0; // the worker itself, as a target

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
    const { target, manifest, settings } = await connection.call(WORKER, "load", parameters, options);
    return new RemoteCarve(connection, target, { manifest, settings });
  };
}

class Connection {
  #port;
  #calls = new Map();
  #count = 0;
  #begun = false; // whether the worker has said anything
  #ended; // why it will say no more

  constructor(worker) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }) => this.#receive(data);
    worker.postMessage({ port: port2 }, [port2]);
    if (worker.addEventListener) this.#watchInBrowser(worker);
    else this.#watchInNode(worker);
  }

  #watchInBrowser(worker) {
    worker.addEventListener("error", ({ message = "it cannot be started" }) => {
      const error = failed(message);
      if (this.#begun) this.#reject(error); // it goes on after an error
      else this.#end(error);
    });
    this.#port.addEventListener("close", () => this.#end(failed("it has ended"))); // in some
  }

  #watchInNode(worker) {
    worker.on("error", (error) => this.#end(failed(error?.message ?? error, error))); // before exit
    worker.on("exit", (code) => this.#end(failed(`it has ended with code ${code}`)));
    if (worker.threadId < 0) this.#end(failed("it has ended"));
  }

  /** Call a method of something in the worker. */
  async call(target, method, parameters, { signal, ...options } = {}) {
    checkedSignal(signal)?.throwIfAborted();
    if (this.#ended) throw this.#ended;
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
      try {
        this.#port.postMessage(message);
      } catch (cause) {
        settle(reject)(unsent(target, method, cause));
      }
    });
  }

  #receive({ id, listener, values, value, error }) {
    this.#begun = true;
    const call = this.#calls.get(id);
    if (!call) return; // aborted
    if (listener) call.tell(listener, values);
    else if (error) call.reject(errorOf(error));
    else call.resolve(value);
  }

  #reject(error) {
    for (const call of this.#calls.values()) call.reject(error);
  }

  /** Reject what waits, and whatever is called from now on. */
  #end(error) {
    this.#ended ??= error;
    this.#port.close();
    this.#reject(this.#ended);
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

const failed = (what, cause) =>
  new CarveError("run", `The worker failed: ${what}. Check its script, start another one.`, cause);

/** Return the error of a call whose parameters no worker can be sent. */
function unsent(target, method, cause) {
  const message = `What ${method} is given cannot be sent to the worker (${cause.message}). Give plain`;
  return target === WORKER
    ? new CarveError("settings", `${message} options and functions named on….`, cause)
    : new CarveError("image", `${message} settings, and an image as pixels, bytes or a Blob.`, cause);
}

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

  async open(image, options = {}) {
    const { target } = await this.call("open", [image], options);
    return new RemoteSession(this.connection, target);
  }

  ask(image, question, changes = {}, options = {}) {
    return this.call("ask", [image, question, changes], options);
  }

  plain(image, question, changes = {}, options = {}) {
    return this.call("plain", [image, question, changes], options);
  }

  async attend(image, text, options = {}) {
    return new Attention(await this.call("attend", [image, text], options));
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

  async attend(text, options = {}) {
    return new Attention(await this.call("attend", [text], options));
  }

  change(image, options = {}) {
    return this.call("change", [image], options);
  }

  stream(question, changes, options = {}) {
    return new TokenStream(
      (given) => this.ask(question, changes, { ...options, ...given }),
      options,
    );
  }

  async refineAgain({ questionAttention, settings }, changes = {}, options = {}) {
    return this.call("refineAgain", [{ questionAttention, settings }, changes], options);
  }
}
