export { Attention } from "./attention/attention.js";
export { Carve } from "./carve.js";
export { CarveError } from "./errors.js";
export { ImageSession } from "./session.js";
