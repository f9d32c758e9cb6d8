// Compiled, never run: the declarations fit what a program writes.
import * as ort from "onnxruntime-node";

import { Attention, Carve, CarveError, type CarveResult, type SettingsChanges } from "carve-vlm";
import { folder, loadFolder } from "carve-vlm/node";
import { loadUrl } from "carve-vlm/web";
import { connect, serve } from "carve-vlm/worker";

export async function use(image: ImageData, worker: Worker): Promise<string> {
  const options: SettingsChanges = { maskTopP: 0.1, steps: "all", variant: "v2" };
  const vlm = await Carve.load(folder("bundle"), { ort, cpu: "cpu" });
  const session = await vlm.open(image, { scoutPixels: 1024 });
  const { signal } = new AbortController();
  const result: CarveResult = await session.ask("What is it?", options, { signal });
  const [x0] = (await session.refineAgain(result, { maxRegions: x_regions() })).bbox;
  // @ts-expect-error: not a choice
  await vlm.ask(image, "What is it?", { steps: "some" });
  // @ts-expect-error: not an image
  await vlm.ask(7, "What is it?");
  for await (const { stage, text } of vlm.stream("photo.jpg", "What is it?"))
    console.log(stage, text);
  await vlm.plain(new Blob(), "What is it?", { maxNewTokens: 3 }, { refined: image });
  await (await loadFolder("bundle", { verify: false })).release();
  const web = await loadUrl("bundle/", { ort, onProgress: (loaded, total) => loaded / total });
  const onPart = (known: Partial<CarveResult>) => known.questionAttention?.steps;
  await session.ask("What is it?", {}, { onPart });
  serve(self, (url: string, given) => loadUrl(url, { ort, ...given }));
  const remote = await connect(worker)("bundle/", { signal });
  await (await remote.open(image)).close();
  const attention = new Attention(await remote.attend(image, "What is it?", { generate: 3, signal }));
  const [{ token, share }] = (await session.attend("What is it?")).overText(-1, attention.layers[0]);
  console.log(token, share, attention.map(0).length, attention.mass()[0]);
  if ((await session.change(image, { signal })) < 20) return "unchanged";
  const error = new Error() as CarveError;
  return error.code === "bundle" ? result.answer : `${x0} ${web.settings.rule}`;
}

function x_regions(): number {
  return 2;
}
