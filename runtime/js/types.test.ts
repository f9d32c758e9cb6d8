// Compiled, never run: the declarations fit what a program writes.
import * as ort from "onnxruntime-node";

import { Carve, CarveError, type CarveResult, type Settings } from "carve-vlm";
import { folder, loadFolder } from "carve-vlm/node";
import { loadUrl } from "carve-vlm/web";

export async function use(image: ImageData): Promise<string> {
  const options: Partial<Settings> = { maskTopP: 0.1, steps: "all" };
  const vlm = await Carve.load(folder("bundle"), { ort, cpu: "cpu" });
  const session = await vlm.open(image);
  const result: CarveResult = await session.ask("What is it?", options);
  const [x0] = (await session.refineAgain(result, { maxRegions: x_regions() })).bbox;
  // @ts-expect-error: not a choice
  await vlm.ask(image, "What is it?", { steps: "some" });
  await (await loadFolder("bundle", { verify: false })).release();
  const web = await loadUrl("bundle/", { ort, onProgress: (loaded, total) => loaded / total });
  await session.ask("What is it?", {}, (known) => known.questionAttention?.steps);
  const error = new Error() as CarveError;
  return error.code === "bundle" ? result.answer : `${x0} ${web.settings.rule}`;
}

function x_regions(): number {
  return 2;
}
