// What `npm pack` makes is complete, and runs without this repository around it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const ROOT = join(import.meta.dirname, "../../..");
const SOURCE = join(ROOT, "runtime/js");
const POCKET = join(ROOT, "models/pocket");
const app = mkdtempSync(join(tmpdir(), "carve-app-"));
const installed = join(app, "node_modules/carve-vlm");

before(() => {
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", app], {
    cwd: SOURCE,
  });
  const [{ filename }] = JSON.parse(packed);
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(app, filename), "--strip-components=1", "-C", installed]);
  for (const name of readdirSync(join(SOURCE, "node_modules"))) {
    if (!name.startsWith(".")) {
      symlinkSync(join(SOURCE, "node_modules", name), join(app, "node_modules", name));
    }
  }
});
after(() => rmSync(app, { recursive: true }));

test("what a package needs is in it", () => {
  const own = JSON.parse(readFileSync(join(installed, "package.json")));
  for (const key of ["description", "license", "keywords", "exports", "types", "engines"]) {
    assert.ok(own[key], key);
  }
  for (const { types, default: module } of Object.values(own.exports).filter(
    ({ types }) => types,
  )) {
    for (const file of [types, module]) assert.ok(readFileSync(join(installed, file)).length, file);
  }
  const license = (folder) => readFileSync(join(folder, "LICENSE"), "utf8");
  assert.equal(license(installed), license(ROOT));
  assert.ok(!readdirSync(installed).includes("demo"));
});

test("a program that has it installed", () => {
  const program = `
    import { Carve } from "carve-vlm";
    import { loadFolder } from "carve-vlm/node";
    import { remote } from "carve-vlm/web";
    import { connect, serve } from "carve-vlm/worker";
    const vlm = await loadFolder(${JSON.stringify(POCKET)});
    const { answer } = await vlm.ask(
      ${JSON.stringify(join(POCKET, "example.jpg"))},
      "What word is on the purple square?",
    );
    console.log(answer, vlm instanceof Carve, typeof remote, typeof connect, typeof serve);
    await vlm.release();
  `;
  writeFileSync(join(app, "program.mjs"), program);
  const printed = execFileSync("node", ["program.mjs"], { cwd: app, encoding: "utf8" });
  assert.equal(printed, "HI true function function function\n");
});

test("without onnxruntime-node: what to install", () => {
  unlinkSync(join(app, "node_modules/onnxruntime-node"));
  const program = `
    import { loadFolder } from "carve-vlm/node";
    await loadFolder("bundle").catch(({ code, message }) => console.log(code, message));
  `;
  writeFileSync(join(app, "without.mjs"), program);
  const printed = execFileSync("node", ["without.mjs"], { cwd: app, encoding: "utf8" });
  assert.match(printed, /^unsupported onnxruntime-node cannot be loaded .* Install it/);
});
