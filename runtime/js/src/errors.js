/**
 * Every error that this library throws on purpose: what is wrong, and what to do about it.
 * `code` is one of "bundle", "image", "prompt", "settings", "provider", "run", "unsupported".
 */
export class CarveError extends Error {
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CarveError";
    this.code = code;
  }
}

/** Return any value as a message shows it. */
export function shown(value) {
  const whole = (_, part) => (typeof part === "bigint" ? `${part}n` : part);
  try {
    if (typeof value === "string" || typeof value === "number") return String(value);
    return JSON.stringify(value, whole) ?? typeof value;
  } catch {
    return typeof value; // it holds itself
  }
}

/** Throw a CarveError unless a condition holds. */
export function ensure(condition, code, message) {
  if (!condition) throw new CarveError(code, message);
}
