/** Ask the server that this page came from. */
const $ = (id) => document.getElementById(id);

let picture; // a data URL
let model;

/** Take the picture of a list of files, if there is one. */
function take(files) {
  const file = [...files].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    picture = reader.result;
    $("picture").src = picture;
    $("picture").hidden = false;
  });
  reader.readAsDataURL(file);
}

async function ask() {
  const headers = { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  const content = [
    { type: "image_url", image_url: { url: picture } },
    { type: "text", text: $("question").value },
  ];
  const messages = [{ role: "user", content }];
  const body = JSON.stringify({ model, messages, carve: { include: ["overview"] } });
  const response = await fetch("v1/chat/completions", { method: "POST", headers, body });
  if (response.status === 401) $("locked").hidden = false;
  const document = await response.json();
  if (!response.ok) throw new Error(document.error.message);
  return document;
}

function show({ choices, carve }) {
  $("plain").textContent = carve.plain_answer ?? "none";
  $("answer").textContent = choices[0].message.content;
  $("overview").src = `data:image/png;base64,${carve.overview}`;
  for (const id of ["answers", "overview"]) $(id).hidden = false;
  say(`${carve.timings.total.toFixed(2)} s`);
}

function say(text, failed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("failed", failed);
}

$("file").addEventListener("change", () => take($("file").files));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!picture) return say("Choose a picture first.", true);
  $("send").disabled = true;
  say("The model is looking …");
  try {
    show(await ask());
  } catch (error) {
    say(error.message, true);
  } finally {
    $("send").disabled = false;
  }
});

const health = await (await fetch("health")).json();
model = health.model;
$("model").textContent = model;
if (health.browser_page) {
  $("browser").href = health.browser_page;
  $("browser").hidden = false;
}
