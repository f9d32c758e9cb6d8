/** The page: a picture, a question, and what lies between the two answers. */
import { Controls } from "./controls.js";
import { connect } from "../src/worker.js";
import { decode } from "./picture.js";
import { Views } from "./views.js";
import { Words } from "./words.js";

const ASK_AGAIN_AFTER = 500; // ms after the last move of a control

const $ = (id) => document.getElementById(id);
const connected = connect(new Worker(new URL("worker.js", document.baseURI), { type: "module" }));
const views = new Views($("views"), $("large"));
const controls = new Controls($("controls"), moved);
const words = new Words($("words"), views, () =>
  session.attend(asked, { generate: model.settings.maxNewTokens }),
);

const kind = new URLSearchParams(location.search).get("device") === "webgpu" ? "webgpu" : "wasm";
let model; // in the worker
let session; // there too, about the picture
let picture; // data, width, height, full
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

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

/** Load ONNX Runtime and the bundle, with a progress bar. */
async function load() {
  const onProgress = (loaded, total) => {
    $("bytes").textContent = `${megabytes(loaded)} of ${megabytes(total)} MB`;
    if (loaded < total) $("progress").value = loaded / total;
    else $("progress").removeAttribute("value"); // how long the rest takes is not known
  };
  model = await connected(kind, { onProgress });
  $("loading").hidden = true;
  controls.fit(model.manifest, model.settings);
  words.fit(model.manifest.decoder.tapped_layers, model.settings.layers[0]);
  for (const id of ["file", "send"]) $(id).disabled = false;
}

/** Take a picture file, and ask about it. */
async function usePicture(blob) {
  picture = await decode(blob);
  result = asked = undefined;
  words.forget();
  views.begin(picture);
  $("plain").textContent = $("answer").textContent = "";
  say(`Looking …${reduction()}`);
  const old = session;
  session = undefined; // until this picture is taken
  await old?.close();
  session = await model.open(picture);
  say(`Ask something about it${reduction()}`);
  await ask($("question").value);
}

/** Say that the picture was reduced, if it was. */
function reduction() {
  if (!picture.full) return "";
  const size = ({ width, height }) => `${width} × ${height}`;
  return `, picture reduced to ${size(picture)} from ${size(picture.full)}`;
}

/** Ask a question; parts appear as they are known. */
async function ask(question) {
  if (!session || !question.trim()) return;
  const started = performance.now();
  if (question !== asked) words.forget();
  asked = question;
  say("Thinking …");
  $("answers").classList.add("stale");
  const said = { question: "", final: "" };
  const onToken = ({ stage, text }) => {
    if (!(stage in said)) return;
    said[stage] += text;
    $(stage === "final" ? "answer" : "plain").textContent = said[stage];
  };
  show(await session.ask(question, controls.changes, { onPart: show, onToken }));
  $("answers").classList.remove("stale");
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  say(`Answered in ${seconds} s${reduction()}`);
  // The controls may ask for the general instruction's later steps: compute them beforehand.
  session.refineAgain(result, { steps: "all", earlyExit: false }).catch(() => {});
  document.dispatchEvent(new CustomEvent("carve", { detail: result }));
  enqueue(followWords); // on its own: if it fails, the answer stands
}

/** Show where the model looks for each word of what was answered last. */
async function followWords() {
  if (asked) await words.follow(picture);
}

/** Show what is known of a result. */
function show(known) {
  result = known;
  views.show(picture, known);
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
    if (!result) return; // another picture was chosen meanwhile
    const settings = { ...model.settings, ...controls.changes };
    const refined = await session.refineAgain(result, settings);
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

$("words").addEventListener("toggle", () => enqueue(followWords));
$("views").addEventListener("click", () => ($("words").open = false));

$("suggestions").addEventListener("click", ({ target }) => {
  if (target.tagName !== "BUTTON") return;
  $("question").value = target.textContent;
  $("form").requestSubmit();
});

function choose(files) {
  const [blob] = files;
  if (!blob || $("file").disabled) return;
  $("suggestions").hidden = true;
  $("knows").hidden = !EXAMPLE; // it comes with the default bundle alone
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
  if (EXAMPLE) {
    $("suggestions").hidden = false;
    await usePicture(await (await fetch(EXAMPLE)).blob());
  } else {
    $("question").value = "";
    say("Choose a picture, then ask");
  }
  document.dispatchEvent(new CustomEvent("ready"));
});
