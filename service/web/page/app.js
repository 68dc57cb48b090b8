// The page: connects the ways in (intake.js), the queue (queue.js), the server (server.js) and the gallery (gallery.js).

import { problemText } from "./card.js";
import { csv, save } from "./csv.js";
import { $, announce, el, reveal } from "./dom.js";
import { Gallery } from "./gallery.js";
import { applyLanguage, language, onLanguage, setLanguage, size, t } from "./i18n.js";
import { intake } from "./intake.js";
import { askForKey, keyed } from "./key.js";
import { inWords } from "./names.js";
import { Queue } from "./queue.js";
import { classify, predictURL, Problem, served, untilReady } from "./server.js";
import { copy, snippet } from "./snippet.js";

const parallel = 3; // enough to keep two cores busy while a picture travels, few enough to leave connections free
const spokenOneByOne = 3; // more answers than this at once are only counted, or a screen reader would never come to an end

let server = { models: [], limits: {} }; // what /api/v1/models said
let banner = ""; // the key of what the banner says
let lastCall = null; // {name, model} of the last picture that got an answer

const gallery = new Gallery({ retry: (picture) => send([picture]), remove });
const queue = new Queue(work, { parallel, changed: drawActions });
const ready = connect();

const side = () => server.models.find((model) => model.default)?.input.width ?? 224;
// choices are the models by their names: versions beside the stable one are for programs that name them.
const choices = () => server.models.filter((model) => model.aliases?.includes("stable") ?? true);
const model = () => (choices().length > 1 ? $("model").value : "");
const waiting = () => gallery.pictures.filter((picture) => picture.state === "waiting" && !queue.has(picture));

// connect waits for the server, then asks what it serves.
async function connect() {
  const say = (code) => showBanner({ not_ready: "loading", draining: "stopping" }[code] ?? "unreachable_banner");
  for (;;) {
    await untilReady(say);
    try {
      server = await served();
      break;
    } catch (problem) {
      if (wantsKey(problem)) {
        showBanner("");
        await askForKey(problem.code === "forbidden" ? "key_other" : "unauthorized");
        continue;
      }
      say(problem.code); // it was ready, and is not any more: wait again
    }
  }
  if (banner !== "") announce(t("ready"));
  showBanner("");
  $("model").replaceChildren(...choices().map(({ name }) => el("option", { value: name }, name)));
  $("model").value = server.models.find((served) => served.default)?.name ?? "";
  $("model-choice").hidden = choices().length < 2;
  gallery.look({ side: side(), showModel: choices().length > 1 });
  drawWords();
}

const wantsKey = (problem) => problem.code === "unauthorized" || problem.code === "forbidden";

function showBanner(key) {
  banner = key;
  $("banner").hidden = key === "";
  if ($("banner").textContent !== (key && t(key))) $("banner").textContent = key && t(key);
}

// add takes files in; what is larger than the server takes is refused here, before it travels.
function add(files) {
  if (files.length === 0) return [];
  const pictures = files.map((file) => ({ file, name: file.name, url: URL.createObjectURL(file), state: "waiting" }));
  gallery.add(pictures);
  announce(t("added", { n: pictures.length }));
  for (const picture of pictures) refuseLarge(picture);
  drawActions();
  return pictures;
}

function refuseLarge(picture) {
  const limit = server.limits?.max_body;
  if (!limit || picture.file.size <= limit) return false;
  fail(picture, Object.assign(new Problem("body_too_large"), { size: picture.file.size, limit }));
  return true;
}

function fail(picture, problem) {
  Object.assign(picture, { state: "failed", problem });
  gallery.draw(picture);
}

function send(pictures) {
  for (const picture of pictures) picture.state = "waiting";
  queue.add(...pictures);
}

// work classifies one picture of the queue; a picture whose request is cancelled waits again.
async function work(picture, signal) {
  if (signal.aborted) return;
  picture.state = "sending";
  gallery.draw(picture);
  const busyFor = (seconds) => {
    picture.busy = seconds;
    gallery.draw(picture);
  };
  try {
    await Promise.race([ready, aborted(signal)]);
    if (refuseLarge(picture)) return;
    const call = { name: picture.name, model: model() };
    picture.answer = await classify(picture.file, { model: call.model, signal, busyFor });
    picture.state = "done";
    lastCall = call;
    drawCode();
  } catch (problem) {
    if (problem.name === "AbortError") picture.state = "waiting";
    else Object.assign(picture, { state: "failed", problem: problem instanceof Problem ? problem : new Problem("other", { detail: String(problem) }) });
  }
  if (picture.state === "failed" && wantsKey(picture.problem)) askForKey("unauthorized"); // it was withdrawn meanwhile
  picture.busy = 0;
  gallery.draw(picture);
  speak(picture);
}

const aborted = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

function speak(picture) {
  if (queue.all > spokenOneByOne) return;
  if (picture.state === "failed") announce(t("answer", { name: picture.name, answer: problemText(picture.problem) }));
  if (picture.state !== "done") return;
  const answers = picture.answer.results[0].predictions.map(inWords).join(", ");
  announce(t("answer", { name: picture.name, answer: answers || t("nothing") }));
}

function remove(picture) {
  const cards = [...$("cards").children].filter((card) => !card.hidden);
  const place = cards.indexOf(gallery.element(picture));
  queue.forget(picture);
  URL.revokeObjectURL(picture.url);
  gallery.remove(picture);
  announce(t("removed", { name: picture.name }));
  // The button that had the focus is gone: the next card's is as near as it gets.
  const next = cards[place + 1] ?? cards[place - 1];
  (next?.querySelector(".remove") ?? $("choose")).focus();
  drawActions();
}

function clear() {
  queue.cancel();
  for (const picture of gallery.pictures) {
    URL.revokeObjectURL(picture.url);
    gallery.remove(picture);
  }
  drawActions();
  $("choose").focus();
}

let wasBusy = false;

// drawActions shows what can be done now, and how far the queue is.
function drawActions() {
  const n = waiting().length;
  const { busy, done, all } = queue;
  $("classify").disabled = n === 0;
  $("cancel").hidden = !busy;
  $("progress").hidden = !busy || all < 2;
  $("bar").max = Math.max(1, all);
  $("bar").value = done;
  const finished = gallery.pictures.filter((picture) => picture.state === "done").length;
  const failed = gallery.pictures.filter((picture) => picture.state === "failed").length;
  const summary = finished + failed > 0 ? t("count_done", { n: finished, failed }) : "";
  $("count").textContent = busy ? t("count_progress", { done, all }) : n > 0 ? t("count_waiting", { n }) : summary;
  if (wasBusy && !busy && all > spokenOneByOne && n === 0) announce(summary);
  wasBusy = busy;
}

function drawCode() {
  if (!lastCall) return;
  $("code").hidden = false;
  const language = document.querySelector("input[name=code]:checked").value;
  $("snippet").firstElementChild.textContent = snippet(language, predictURL(lastCall.model), lastCall.name, keyed());
}

// drawWords writes the texts that hold values; those without are marked with data-t.
function drawWords() {
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  $("intro").textContent = t(here ? "intro_here" : "intro_server", { host: location.host });
  const limit = server.limits?.max_body;
  $("advice").textContent = t(limit ? "advice_limit" : "advice", { side: side(), limit: limit ? size(limit) : "" });
  const current = server.models.find(({ default: isDefault }) => isDefault);
  $("about").textContent = current ? t(current.licence ? "about_licence" : "about", current) : "";
  $("docs").href = `docs?lang=${language}`; // what was chosen here is not known to the server
  for (const button of document.querySelectorAll("[data-sample]")) {
    const words = t(`sample.${button.dataset.sample}`);
    button.setAttribute("aria-label", words);
    button.title = words;
  }
  showBanner(banner);
}

async function classifySample(name) {
  const response = await fetch(new URL(`web/samples/${name}`, document.baseURI)).catch(() => null);
  if (!response?.ok) return showBanner("unreachable_banner");
  const pictures = add([new File([await response.blob()], name)]);
  send(pictures);
  reveal(gallery.element(pictures[0]));
}

async function copySnippet() {
  const button = $("copy");
  const copied = await copy($("snippet").textContent);
  if (!copied) getSelection().selectAllChildren($("snippet"));
  button.textContent = t(copied ? "copied" : "copy_by_hand");
  announce(button.textContent);
  setTimeout(() => (button.textContent = t("copy")), 2000);
}

function exportCSV() {
  const pictures = gallery.shown.filter(({ state }) => state === "done" || state === "failed");
  save("vidi.csv", csv(pictures));
  announce(t("exported", { n: pictures.length }));
}

intake({ inputs: [$("choose"), $("capture")], zone: $("drop"), take: add });
$("classify").addEventListener("click", () => {
  const pictures = waiting();
  send(pictures);
  reveal(gallery.element(pictures[0]));
});
$("cancel").addEventListener("click", () => {
  queue.cancel();
  announce(t("cancelled", { n: gallery.pictures.filter(({ state }) => state === "waiting" || state === "sending").length }));
  $("gallery-title").focus();
});
$("export").addEventListener("click", exportCSV);
$("clear").addEventListener("click", clear);
$("copy").addEventListener("click", copySnippet);
for (const radio of document.querySelectorAll("input[name=code]")) radio.addEventListener("change", drawCode);
for (const button of document.querySelectorAll("[data-sample]")) button.addEventListener("click", () => classifySample(button.dataset.sample));
for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => setLanguage(button.dataset.language));
onLanguage(() => {
  announce(""); // what was said was said in the other language
  drawWords();
  gallery.drawAll();
  drawActions();
});
applyLanguage();
drawWords();
document.documentElement.classList.add("live"); // base.css shows the page now: in the right language from the first sight
