// The page's server: what it answers, what it refuses, and that nothing ends it.
import assert from "node:assert/strict";
import {
  mkdtempSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { address, serve } from "../../../runtime/js/tools/serve.js";

const LARGE = 64 << 20; // bytes, more than a socket's buffers hold
const folder = mkdtempSync(join(tmpdir(), "carve-served-"));
let server;

before(async () => {
  writeFileSync(join(folder, "index.html"), "<p>here</p>");
  writeFileSync(join(folder, "large.bin"), Buffer.alloc(LARGE));
  mkdirSync(join(folder, "ort"));
  symlinkSync("/etc/passwd", join(folder, "outside"));
  server = await serve(folder);
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

/** Send a request as it is; resolves to the response once its headers are here. */
function sent(path, { method = "GET", host } = {}) {
  const { port } = server.address();
  const headers = { Host: host ?? `localhost:${port}` };
  return new Promise((resolve, reject) => {
    request({ port, host: "127.0.0.1", path, method, headers }, resolve).on("error", reject).end();
  });
}

async function statusOf(path, options) {
  const response = await sent(path, options);
  response.resume();
  return response.statusCode;
}

test("what every answer carries", async () => {
  for (const path of ["/", "/nosuch"]) {
    const { headers } = await fetch(new URL(path, address(server)));
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
    const policy = headers.get("Content-Security-Policy");
    for (const part of [
      "default-src 'none'",
      "script-src 'self' 'wasm-unsafe-eval'",
      "form-action 'none'",
    ]) {
      assert.ok(policy.includes(part), policy);
    }
  }
});

const paths = ["/nosuch", "/ort", "/ort/", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd"];
for (const path of [...paths, "/%E0%A4%A", "/outside", "/large.bin%00.html", "//etc/passwd"]) {
  test(`nothing at ${path}`, async () => assert.equal(await statusOf(path), 404));
}

for (const host of ["evil.example", "localhost", "localhost:1", "127.0.0.1.evil.example:80"]) {
  test(`another host: '${host}'`, async () => assert.equal(await statusOf("/", { host }), 421));
}

for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"]) {
  test(`another method: ${method}`, async () => {
    const response = await sent("/", { method });
    response.resume();
    assert.equal(response.statusCode, 405);
    assert.equal(response.headers.allow, "GET, HEAD");
  });
}

test("the two methods, by both of its names", async () => {
  const { port } = server.address();
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`]) {
    assert.equal(await statusOf("/", { host }), 200);
  }
  const head = await sent("/", { method: "HEAD" });
  assert.equal(head.headers["content-length"], String("<p>here</p>".length));
});

/** The folder's files that this process, the server's, has open. */
function openFiles() {
  const links = readdirSync("/proc/self/fd").map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      return ""; // the listing's own
    }
  });
  return links.filter((path) => path.startsWith(folder)).length;
}

test(
  "downloads that are broken off leave no descriptor",
  { skip: process.platform !== "linux" },
  async () => {
    const responses = [];
    for (let i = 0; i < 20; i++) responses.push(await sent("/large.bin"));
    assert.equal(openFiles(), responses.length);
    for (const response of responses) response.destroy();
    for (let wait = 0; wait < 50 && openFiles(); wait++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(openFiles(), 0);
  },
);

test("a file that ends too early ends one answer, not the server", async () => {
  writeFileSync(join(folder, "shrinking.bin"), Buffer.alloc(LARGE));
  const response = await sent("/shrinking.bin");
  truncateSync(join(folder, "shrinking.bin"), 1000);
  await assert.rejects(async () => {
    for await (const chunk of response) assert.ok(chunk);
  });
  assert.equal(await statusOf("/"), 200);
});
