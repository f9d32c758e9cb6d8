// Python's answers with a bundle of each family, from Node; sharp reads the pictures.
import { after, test } from "node:test";

import { loadFolder } from "../../../runtime/js/src/node.js";
import { compare, pairs } from "./python_results.mjs";

const models = new Map(); // by bundle
after(async () => {
  for (const vlm of models.values()) await (await vlm).release();
});

function modelOf(bundle) {
  if (!models.has(bundle)) models.set(bundle, loadFolder(bundle));
  return models.get(bundle);
}

for (const pair of pairs) {
  const family = pair.bundle.split("/").at(-1);
  test(`${family}: ${pair.name} ${JSON.stringify(pair.changes)}`, async () => {
    const vlm = await modelOf(pair.bundle);
    compare(await vlm.ask(pair.path, pair.question, pair.changes), pair);
  });
}
