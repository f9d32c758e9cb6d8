/** Tokens of an answer while it is generated. */
import { checkedOptions } from "./options.js";

/**
 * The tokens of all passes, `{ stage, text }`, to iterate over once; `result` resolves to the whole
 * result. To stop iterating aborts what still runs.
 */
export class TokenStream {
  #controller = new AbortController();
  #tokens = [];
  #ended = false;
  #wake = () => {};

  /**
   * @param start begins the work with `signal` and `onToken`, and returns its promise.
   * @param options `signal` of the caller, and `onToken`, which is told as well.
   */
  constructor(start, options) {
    this.result = this.#begin(start, options);
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    this.result.then(end, end); // and whoever iterates is told of the error
  }

  async #begin(start, options) {
    const { signal, onToken } = checkedOptions(options);
    const own = this.#controller.signal;
    const add = (token) => {
      onToken?.(token);
      this.#tokens.push(token);
      this.#wake();
    };
    return start({ signal: signal ? AbortSignal.any([own, signal]) : own, onToken: add });
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#tokens.length) yield this.#tokens.shift();
        if (this.#ended) break;
        await new Promise((resolve) => (this.#wake = resolve));
      }
      await this.result;
    } finally {
      this.#controller.abort();
    }
  }
}
