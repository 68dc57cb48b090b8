// Charts of the last minutes, as SVG: lines, or areas on top of each other. A point is one second; a value that is null is a gap.

import { el } from "./dom.js";
import { t } from "./i18n.js";

const height = 190;
const edge = { top: 10, right: 12, bottom: 24, left: 58 }; // left is wider where a label is longer
const letter = 7; // pixels that a letter of a label takes, at most

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
};

// Chart is one figure. series are {name, of}: of gives a point's value; name is the key of its word and its CSS class.
export class Chart {
  constructor(name, { series, format, least, stacked = false, binary = false }) {
    Object.assign(this, { name, series, format, least, stacked, binary, at: null });
    this.values = series.map(() => el("span", { class: "value" }));
    this.names = series.map((one) => el("span", { "data-t": one.name }));
    this.picture = svg("svg", { role: "img", height });
    const place = (event) => event.clientX - this.picture.getBoundingClientRect().left;
    this.picture.addEventListener("pointermove", (event) => this.point(place(event)));
    this.picture.addEventListener("pointerdown", (event) => this.point(place(event)));
    this.picture.addEventListener("pointerleave", () => this.point(null));
    this.time = el("span", { class: "quiet" });
    const legend = el("ul", { class: "legend" }, ...series.map((one, i) =>
      el("li", { class: one.name }, el("i", { class: "mark", "aria-hidden": "true" }), this.names[i], this.values[i])));
    this.element = el("section", { class: "chart", id: `chart-${name}` },
      el("div", { class: "chart-head" }, el("h2", { "data-t": `chart_${name}` }), this.time), legend, this.picture);
  }

  // point shows the values at a place of the picture; null shows the last ones.
  point(x) {
    this.at = x;
    if (this.last) this.draw(...this.last);
  }

  draw(points, now, span) {
    this.last = [points, now, span];
    const width = Math.max(200, this.picture.clientWidth);
    const rows = points.map((point) => this.series.map((one) => one.of(point)));
    const tops = rows.map((row) => (this.stacked ? row.reduce((sum, value) => sum + (value ?? 0), 0) : Math.max(0, ...row.map((value) => value ?? 0))));
    const ticks = scale(Math.max(this.least, ...tops), this.binary);
    const most = ticks.at(-1);
    const labels = ticks.map((tick) => this.format(tick));
    const left = Math.max(edge.left, 12 + letter * Math.max(...labels.map((label) => label.length)));
    const inner = { width: width - left - edge.right, height: height - edge.top - edge.bottom };
    const x = (time) => left + inner.width * (1 - (now - time) / (span - 1));
    const y = (value) => edge.top + inner.height * (1 - value / most);

    const parts = [];
    ticks.forEach((tick, i) => {
      parts.push(svg("line", { class: "grid", x1: left, x2: width - edge.right, y1: y(tick), y2: y(tick) }));
      parts.push(svg("text", { class: "tick", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, labels[i]));
    });
    for (let minutes = 0; minutes * 60 < span; minutes++) {
      const anchor = minutes === 0 ? "end" : "middle";
      parts.push(svg("text", { class: "tick", x: x(now - minutes * 60), y: height - 6, "text-anchor": anchor }, minutes === 0 ? t("now") : t("minutes_ago", { n: minutes })));
    }
    parts.push(...(this.stacked ? this.areas(points, rows, x, y) : this.lines(points, rows, x, y)));

    const shown = this.shown(points, x);
    if (this.at !== null && shown >= 0) {
      const place = x(points[shown].t);
      parts.push(svg("line", { class: "cursor", x1: place, x2: place, y1: edge.top, y2: edge.top + inner.height }));
    }
    this.picture.replaceChildren(...parts);
    this.tell(points, rows, shown, now);
  }

  // shown is the index of the point whose values are written: the one pointed at, else the last.
  shown(points, x) {
    if (this.at === null) return points.length - 1;
    let best = -1;
    let nearest = 12; // pixels
    points.forEach((point, i) => {
      const distance = Math.abs(x(point.t) - this.at);
      if (distance < nearest) [best, nearest] = [i, distance];
    });
    return best;
  }

  tell(points, rows, shown, now) {
    const row = rows[shown] ?? [];
    const texts = this.series.map((_, i) => (row[i] === null || row[i] === undefined ? "–" : this.format(row[i])));
    this.series.forEach((one, i) => {
      this.names[i].textContent = t(one.name);
      this.values[i].textContent = texts[i];
    });
    const ago = shown >= 0 && this.at !== null ? now - points[shown].t : 0;
    this.time.textContent = ago > 0 ? t("seconds_ago", { n: ago }) : "";
    this.picture.setAttribute("aria-label", `${t(`chart_${this.name}`)}: ${this.series.map((one, i) => `${t(one.name)} ${texts[i]}`).join(", ")}`);
  }

  lines(points, rows, x, y) {
    return this.series.map((one, i) => {
      const runs = unbroken(points, rows, (row) => row[i] !== null && row[i] !== undefined);
      const path = runs.map((run) => run.map((k, j) => `${j ? "L" : "M"}${x(points[k].t).toFixed(1)} ${y(rows[k][i]).toFixed(1)}`).join("")).join("");
      return svg("path", { class: `line ${one.name}`, d: path });
    });
  }

  areas(points, rows, x, y) {
    const runs = unbroken(points, rows, (row) => row.some((value) => value !== null && value !== undefined));
    return this.series.map((one, i) => {
      const sum = (k, count) => rows[k].slice(0, count).reduce((total, value) => total + (value ?? 0), 0);
      const edgeOf = (run, count) => run.map((k) => `${x(points[k].t).toFixed(1)} ${y(sum(k, count)).toFixed(1)}`);
      const path = runs.map((run) => `M${[...edgeOf(run, i + 1), ...edgeOf(run, i).reverse()].join("L")}Z`).join("");
      return svg("path", { class: `area ${one.name}`, d: path });
    });
  }
}

// unbroken is the runs of points that follow each other second by second and have a value, as lists of indices.
function unbroken(points, rows, has) {
  const runs = [];
  let run = [];
  points.forEach((point, i) => {
    if (run.length > 0 && (!has(rows[i]) || point.t !== points[run.at(-1)].t + 1)) {
      runs.push(run);
      run = [];
    }
    if (has(rows[i])) run.push(i);
  });
  if (run.length > 0) runs.push(run);
  return runs;
}

// scale is four or five round numbers from 0 to a little over most. Bytes are round in powers of two.
function scale(most, binary) {
  let step;
  if (binary) {
    step = 2 ** Math.ceil(Math.log2(most / 4));
  } else {
    const rough = most / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
    if (step === 2.5) step = 5; // half of anything counted is none
  }
  const ticks = [0];
  while (ticks.at(-1) < most) ticks.push(ticks.at(-1) + step);
  return ticks;
}
