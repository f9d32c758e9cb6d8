/** The page: a picture, a question, and what lies between the two answers. */
import { Controls } from "./controls.js";
import { ModelWorker } from "./model_worker.js";
import { decode } from "./picture.js";
import { Views } from "./views.js";

const ASK_AGAIN_AFTER = 500; // ms after the last move of a control

const $ = (id) => document.getElementById(id);
const worker = new ModelWorker();
const views = new Views($("views"), $("large"));
const controls = new Controls($("controls"), moved);

const kind = new URLSearchParams(location.search).get("device") === "webgpu" ? "webgpu" : "wasm";
let model; // manifest, settings
let picture; // data, width, height, reduced
let asked; // the question that `result` answers
let result; // what is known of the answer

/** Run tasks one after the other, and show errors. */
let last = Promise.resolve();
function enqueue(task) {
  last = last.then(async () => {
    $("error").hidden = true;
    await task();
  });
  last = last.catch((error) => {
    console.warn(error);
    $("error").textContent = error.message;
    $("error").hidden = false;
    say("");
  });
  return last;
}

function say(text) {
  $("status").textContent = text;
}

/** Load ONNX Runtime and the bundle, with a progress bar. */
async function load() {
  model = await worker.call("load", [kind], (share) => {
    if (share < 1) $("progress").value = share;
    else $("progress").removeAttribute("value"); // how long the rest takes is not known
  });
  $("loading").hidden = true;
  controls.fit(model.manifest, model.settings);
  for (const id of ["file", "send"]) $(id).disabled = false;
}

/** Take a picture file, and ask about it. */
async function usePicture(blob) {
  picture = await decode(blob);
  result = undefined;
  views.begin(picture);
  $("plain").textContent = $("answer").textContent = "";
  say("Looking …");
  await worker.call("open", [picture]);
  say("Ask something about it");
  await ask($("question").value);
}

/** Ask a question; parts appear as they are known. */
async function ask(question) {
  if (!picture || !question.trim()) return;
  const started = performance.now();
  asked = question;
  say("Thinking …");
  $("answers").classList.add("stale");
  let known = {};
  const add = (part) => show((known = { ...known, ...part }));
  add(await worker.call("ask", [question, controls.changes], add));
  $("answers").classList.remove("stale");
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  const size = picture.reduced ? `, picture reduced to ${picture.width} × ${picture.height}` : "";
  say(`Answered in ${seconds} s${size}`);
  document.dispatchEvent(new CustomEvent("carve", { detail: result }));
}

/** Show what is known of a result. */
function show(known) {
  result = known;
  views.show(picture, known, model.manifest);
  $("plain").textContent = known.plainAnswer || "(nothing)";
  $("answer").textContent = "answer" in known ? known.answer || "(nothing)" : "";
}

/** Recompute the mask from the attention that is kept when a control moves; then ask again. */
let following = false;
let timer;
function moved() {
  clearTimeout(timer);
  if (following || !result) return;
  following = true;
  enqueue(async () => {
    following = false;
    const settings = { ...model.settings, ...controls.changes };
    const refined = await worker.call("refine", [settings]);
    show({ ...result, ...refined, settings });
    $("answers").classList.add("stale");
    document.dispatchEvent(new CustomEvent("carve-refined", { detail: result }));
    clearTimeout(timer);
    timer = setTimeout(() => enqueue(() => ask(asked)), ASK_AGAIN_AFTER);
  });
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  enqueue(() => ask($("question").value));
});

$("suggestions").addEventListener("click", ({ target }) => {
  if (target.tagName !== "BUTTON") return;
  $("question").value = target.textContent;
  $("form").requestSubmit();
});

function choose(files) {
  const [blob] = files;
  if (!blob || $("file").disabled) return;
  $("suggestions").hidden = true;
  enqueue(() => usePicture(blob));
}

$("file").addEventListener("change", ({ target }) => {
  choose(target.files);
  target.value = ""; // the same file may be chosen again
});
$("device").addEventListener("change", ({ target }) => {
  location.search = new URLSearchParams({ device: target.value });
});
addEventListener("paste", ({ clipboardData }) => choose(clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) $("stage").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  choose(event.dataTransfer.files);
});

/** Offer WebGPU where the browser has it. */
async function offerDevices() {
  const adapter = await navigator.gpu?.requestAdapter();
  $("device").hidden = !adapter && kind === "wasm";
  $("device").querySelector("select").value = kind;
}

offerDevices();
enqueue(async () => {
  await load();
  if (!EXAMPLE) {
    $("question").value = "";
    return say("Choose a picture, then ask");
  }
  $("suggestions").hidden = false;
  await usePicture(await (await fetch(EXAMPLE)).blob());
});
