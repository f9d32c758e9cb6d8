// Serve a folder as `npm run demo` does, and say at which port.
import { address, serve } from "../../../runtime/js/tools/serve.js";

const server = await serve(process.argv[2]);
process.stdout.write(`${JSON.stringify({ address: address(server) })}\n`);
