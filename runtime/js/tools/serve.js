/** A static server for the page: files of one folder, nothing else, to this machine alone. */
import { open, realpath } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { pipeline } from "node:stream/promises";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".gzip": "application/octet-stream",
  ".html": "text/html; charset=utf-8",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

const METHODS = ["GET", "HEAD"];

// What the page may load and run: its own files. WebAssembly is compiled; nothing else is evaluated.
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "Cache-Control": "no-cache",
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  // With these a page may use several threads; without them it works with one.
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** What a request is refused with. */
class Refusal extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    Object.assign(this, { status, headers });
  }
}

/** Serve a folder on this machine; resolves to the server once it listens. */
export function serve(folder, port = 0) {
  const server = createServer((request, response) => {
    answer(folder, request, response).catch((error) => refuse(response, error));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** The address of a server. */
export const address = (server) => `http://localhost:${server.address().port}/`;

async function answer(folder, request, response) {
  checkHost(request);
  if (!METHODS.includes(request.method)) {
    throw new Refusal(405, "only GET and HEAD", { Allow: METHODS.join(", ") });
  }
  const path = await pathOf(folder, request.url);
  const file = await open(path);
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw new Refusal(404, "not found");
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    response.writeHead(200, { ...HEADERS, "Content-Type": type, "Content-Length": facts.size });
    if (request.method === "HEAD") response.end();
    else await pipeline(file.createReadStream({ autoClose: false }), response);
  } finally {
    await file.close(); // also where the visitor went away in the middle
  }
}

/** Another site's page that has its name point here must not read anything. */
function checkHost({ headers, socket }) {
  const own = ["localhost", "127.0.0.1"].map((name) => `${name}:${socket.localPort}`);
  if (!own.includes(headers.host)) throw new Refusal(421, "another host");
}

/** Return the file that an address means, links followed, inside the folder. */
async function pathOf(folder, url) {
  const { pathname } = new URL(url, "http://localhost");
  const inside = normalize(join(sep, decodeURIComponent(pathname)));
  const root = await realpath(folder);
  const path = await realpath(
    join(root, inside.endsWith(sep) ? join(inside, "index.html") : inside),
  );
  if (!path.startsWith(root + sep)) throw new Refusal(404, "not found");
  return path;
}

/** Answer a request that failed; where an answer has begun, only its end can say so. */
function refuse(response, error) {
  if (response.headersSent) return response.destroy();
  const { status = 404, headers = {}, message } = error instanceof Refusal ? error : {};
  const type = { "Content-Type": "text/plain; charset=utf-8" };
  response.writeHead(status, { ...HEADERS, ...type, ...headers }).end(message ?? "not found");
}
