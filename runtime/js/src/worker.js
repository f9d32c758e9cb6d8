/** The model in a worker, so that a page or a server stays responsive. */
export { connect } from "./worker/remote.js";
export { serve } from "./worker/serve.js";
