// The operators' page: asks /stats.json once a second and draws the last minutes.

import { Chart } from "./charts.js";
import { $, el } from "./dom.js";
import { number, percent, time } from "./format.js";
import { addWords, applyLanguage, onLanguage, setLanguage, size, t } from "./i18n.js";
import { askForKey, authorization } from "./key.js";
import { drawModels } from "./models.js";
import en from "./stats.words.en.js";
import zh from "./stats.words.zh.js";

addWords({ en, zh });

const span = 300; // seconds on the charts, as many as the server remembers
const pause = 1000; // milliseconds between two questions

let points = [];
let stats = null; // the last answer
let banner = "";

const stage = (name) => (point) => point.stages_ms?.[name] ?? null;

const charts = [
  new Chart("requests", {
    stacked: true, format: (value) => number(value, 1), least: 4,
    series: [
      { name: "answered", of: (point) => point.answered },
      { name: "refused", of: (point) => point.refused },
      { name: "failed", of: (point) => point.failed },
    ],
  }),
  new Chart("latency", {
    format: time, least: 10,
    series: [
      { name: "p50", of: (point) => point.p50_ms },
      { name: "p95", of: (point) => point.p95_ms },
      { name: "p99", of: (point) => point.p99_ms },
    ],
  }),
  new Chart("stages", {
    stacked: true, format: time, least: 10,
    series: ["inference", "decode", "preprocess", "queue"].map((name) => ({ name, of: stage(name) })),
  }),
  new Chart("uploads", {
    format: time, least: 10,
    series: [
      { name: "p50", of: (point) => point.upload_p50_ms },
      { name: "p99", of: (point) => point.upload_p99_ms },
    ],
  }),
  new Chart("load", {
    format: (value) => number(value), least: 4,
    series: [
      { name: "workers_busy", of: (point) => point.workers_busy },
      { name: "queued", of: (point) => point.queue_length },
      { name: "in_flight", of: (point) => point.requests_in_flight },
    ],
  }),
  new Chart("memory", {
    format: size, least: 64 << 20, binary: true,
    series: [{ name: "resident", of: (point) => point.resident_bytes || null }],
  }),
];

async function ask() {
  const url = new URL("stats.json", document.baseURI);
  url.searchParams.set("after", String(points.at(-1)?.t ?? 0));
  const response = await fetch(url, { cache: "no-store", credentials: "omit", headers: authorization() });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail ?? response.statusText), { status: response.status, code: problem.code });
}

// follow asks as long as the page is open and seen; a hidden page costs the server nothing.
async function follow() {
  for (;;) {
    try {
      take(await ask());
      say("");
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) {
        say("");
        await askForKey("stats_key");
        continue;
      }
      say("unreachable_banner");
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

function take(answer) {
  // A server that was started anew has a shorter memory than this page: what it does not know is let go.
  if (stats && answer.uptime_seconds < stats.uptime_seconds) points = [];
  stats = answer;
  const first = answer.now - span;
  const last = points.at(-1)?.t ?? 0;
  points = [...points, ...answer.points.filter((point) => point.t > last)].filter((point) => point.t >= first);
  draw();
}

function say(key) {
  banner = key;
  $("banner").hidden = key === "";
  $("banner").textContent = key && t(key);
}

function draw() {
  if (!stats) return;
  const { model, last_minute: minute } = stats;
  $("about").textContent = [
    stats.ready ? t("state_ready") : t(model ? "state_stopping" : "state_loading"),
    model && t("state_model", { name: model.name, version: model.version, precision: model.precision, workers: model.workers, threads: model.threads }),
    t("state_uptime", { time: duration(stats.uptime_seconds) }),
    `vidi ${stats.version}`,
    ...Object.entries(stats.watch_failing_seconds).filter(([, seconds]) => seconds > 0)
      .map(([what, seconds]) => t(`failing_${what}`, { time: duration(Math.floor(seconds)) })),
  ].filter(Boolean).join(" · ");
  const bad = minute.refused + minute.failed;
  tiles([
    ["tile_rate", number(minute.per_second, 1), t("tile_rate_note", { n: number(minute.requests) })],
    ["tile_errors", minute.requests ? percent((100 * bad) / minute.requests) : "–",
      t("tile_errors_note", { refused: number(minute.refused), failed: number(minute.failed) }), minute.failed > 0],
    ["tile_p50", time(minute.p50_ms), t("tile_p50_note", { upload: time(minute.upload_p50_ms) })],
    ["tile_p95", time(minute.p95_ms), t("tile_p95_note", { p99: time(minute.p99_ms) })],
    ["tile_queue", number(stats.queue_length), t("tile_queue_note", { busy: stats.workers_busy, workers: model?.workers ?? "–" }), stats.queue_length > 0],
    ["tile_memory", size(stats.resident_bytes), t("tile_memory_note")],
  ]);
  drawModels(stats.models);
  for (const chart of charts) chart.draw(points, stats.now - 1, span);
}

// tiles writes the figures into the same elements each time: a selection, and a screen reader's place, stay.
function tiles(list) {
  const box = $("tiles");
  while (box.children.length < list.length) {
    box.append(el("div", { class: "tile" }, el("dt"), el("dd", { class: "figure" }), el("dd", { class: "quiet" })));
  }
  list.forEach(([name, figure, note, marked], i) => {
    const tile = box.children[i];
    tile.id = name;
    tile.classList.toggle("marked", Boolean(marked));
    [t(name), figure, note].forEach((text, place) => {
      if (tile.children[place].textContent !== text) tile.children[place].textContent = text;
    });
  });
}

function duration(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (d > 0) return t("time_d", { d, h });
  if (h > 0) return t("time_h", { h, m });
  return m > 0 ? t("time_m", { m, s: seconds % 60 }) : t("time_s", { s: seconds });
}

for (const chart of charts) $("charts").append(chart.element);
for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => setLanguage(button.dataset.language));
onLanguage(() => {
  say(banner);
  draw();
});
addEventListener("resize", draw);
applyLanguage();
document.documentElement.classList.add("live");
follow();
