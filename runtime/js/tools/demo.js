/** `npm run demo [-- BUNDLE]`: assemble the page with a bundle and serve it on this machine. */
import { assemble, POCKET, SITE } from "./site.js";
import { address, serve } from "./serve.js";

const PORT = 8000;

try {
  await assemble(process.argv[2] ?? POCKET);
  const server = await serve(SITE, Number(process.env.PORT ?? PORT));
  console.log(`${address(server)}  (Ctrl+C stops; the folder ${SITE} works on any static server)`);
} catch (error) {
  console.error(`${error.message}. Name a bundle's folder; PORT chooses another port.`);
  process.exitCode = 1;
}
