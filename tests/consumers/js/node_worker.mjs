// A worker of Node that runs bundles.
import { parentPort } from "node:worker_threads";

import { loadFolder } from "../../../runtime/js/src/node.js";
import { serve } from "../../../runtime/js/src/worker.js";

serve(parentPort, loadFolder);
