/** A static server for the page: files of one folder, nothing else. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
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

// With these a page may use several threads; without them it works with one.
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Serve a folder on this machine; resolves to the server once it listens. */
export function serve(folder, port = 0) {
  const server = createServer((request, response) => {
    answer(folder, request, response).catch(() => response.writeHead(404).end("not found"));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** The address of a server. */
export const address = (server) => `http://localhost:${server.address().port}/`;

async function answer(folder, request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const inside = normalize(join(sep, decodeURIComponent(pathname)));
  const path = join(folder, inside.endsWith(sep) ? join(inside, "index.html") : inside);
  const facts = await stat(path);
  if (!facts.isFile()) throw new Error(`${path} is not a file`);
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  const headers = { "Content-Type": type, "Content-Length": facts.size, "Cache-Control": "no-cache" };
  response.writeHead(200, { ...headers, ...ISOLATED });
  if (request.method === "HEAD") response.end();
  else createReadStream(path).pipe(response);
}
