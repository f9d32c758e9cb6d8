/** What a call may be given beside its settings. */
import { ensure, shown } from "./errors.js";

/** Their names; `refined` is of a plain answer alone. */
export const OPTIONS = ["signal", "onToken", "onPart", "refined"];

/** Return `signal`, `onToken` and `onPart`, checked; `onPart` may be called in any case. */
export function checkedOptions(options) {
  requireObject(options);
  const { signal, onToken, onPart, ...others } = options;
  const [unknown] = Object.keys(others);
  ensure(!unknown, "settings", `There is no option ${unknown}. Pass signal, onToken or onPart.`);
  checkedSignal(signal);
  for (const [name, listener] of Object.entries({ onToken, onPart })) {
    const isFunction = listener === undefined || typeof listener === "function";
    ensure(isFunction, "settings", `${name} is not a function. Pass one, or leave it out.`);
  }
  return { signal, onToken, onPart: onPart ?? (() => {}) };
}

/** Return `generate`, `signal` and `onToken`, checked. */
export function checkedAttending(options) {
  requireObject(options);
  const { generate = 1, ...others } = options;
  const isCount = Number.isSafeInteger(generate) && generate >= 1;
  ensure(isCount, "settings", `generate is ${shown(generate)}. Give a whole number of at least 1.`);
  return { generate, ...checkedOptions(others) };
}

/** Refuse options that are no object. */
export function requireObject(options) {
  const isObject = typeof options === "object" && options !== null;
  ensure(isObject, "settings", `The options are ${shown(options)}. Give an object, or nothing.`);
}

/** Return a signal, or undefined; refuse anything else. */
export function checkedSignal(signal) {
  const isSignal = signal === undefined || typeof signal?.throwIfAborted === "function";
  ensure(isSignal, "settings", "signal is not an AbortSignal. Pass that of an AbortController.");
  return signal;
}

/** Return a promise that is rejected at once when a signal is aborted. */
export function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    const stopListening = () => signal.removeEventListener("abort", stop);
    promise.then(resolve, reject).finally(stopListening);
  });
}
