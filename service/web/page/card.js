// One picture of the gallery: its thumbnail, and under it how far it is or what is in it.

import { el } from "./dom.js";
import { known, size, t } from "./i18n.js";
import { inWords, names, percent, reasonInWords } from "./names.js";

// In percent: below these the best name is doubtful, and a group is said where that is surer by far.
const unsureBelow = 30;
const groupBelow = 60;
const groupFrom = 60;
const surerBy = 20;

// The problems that the same request may not meet again.
const passing = new Set(["unauthorized", "request_timeout", "not_ready", "draining", "deadline_exceeded", "queue_full", "rate_limited", "unreachable", "other"]);

// problemText says what went wrong: the page's words where it has some, else the server's.
export function problemText(problem) {
  if (problem.size) return t("problem.body_too_large_by", { size: size(problem.size), limit: size(problem.limit) });
  if (known(`problem.${problem.code}`) && problem.code !== "other") return t(`problem.${problem.code}`);
  return problem.detail || t("problem.other", { status: problem.status });
}

function warningText(code, result, side) {
  const key = known(`warning.${code}`) ? `warning.${code}` : "warning.other";
  return t(key, { code, side, width: result.width, height: result.height });
}

function answerRow(prediction, place) {
  const { first, other } = names(prediction);
  const fill = el("span", { class: "fill" });
  fill.style.width = `${Math.min(100, Math.max(0, prediction.confidence))}%`; // set by script: the policy has no inline styles
  return el("li", { class: place === 0 ? "answer best" : "answer" },
    el("span", { class: "name" }, el("bdi", {}, first), other ? el("bdi", { class: "other" }, ` (${other})`) : null, " "),
    el("span", { class: "percent" }, percent(prediction)),
    el("span", { class: "track", "aria-hidden": "true" }, fill));
}

// groupOf is the likeliest group, where it tells more than the best name does: tabby 38 %, tiger cat 38 %, but cat 93 %.
// Where the group is doubtful, too, it is the likeliest top-level group: animal.
function groupOf({ predictions: [best], parents: [group] = [], top_groups: [top] = [] }) {
  const helps = (of) => best && of && best.confidence < groupBelow && of.confidence >= groupFrom && of.confidence >= best.confidence + surerBy;
  return [group?.confidence < groupFrom ? top : group].find(helps);
}

function tagsPart(tags) {
  const item = ({ tag, action, because }) => el("li", {},
    el("bdi", { class: "tag" }, tag), action ? el("span", {}, " → ", el("bdi", {}, action)) : null,
    el("span", { class: "because" }, ` ${because.map(reasonInWords).join(t("and"))}`));
  return tags?.length ? el("ul", { class: "tags", "aria-label": t("tags") }, ...tags.map(item)) : null;
}

function answerPart({ answer }, side, showModel) {
  const result = answer.results[0];
  const [best] = result.predictions;
  const group = groupOf(result);
  const unsure = best && best.confidence < unsureBelow && !group && !result.warnings.includes("not_sure");
  const facts = t("facts", {
    width: result.width, height: result.height, format: String(result.format).toUpperCase(), ms: Math.max(1, Math.round(answer.timing_ms.total - answer.timing_ms.upload)),
  });
  return [
    best ? el("ol", { class: "answers" }, ...result.predictions.map(answerRow)) : el("p", {}, t("nothing")),
    group ? el("p", { class: "note group" }, t("group", { group: inWords(group) })) : null,
    unsure ? el("p", { class: "note" }, t("unsure")) : null,
    tagsPart(result.tags),
    ...result.warnings.map((code) => el("p", { class: "note warning" }, warningText(code, result, side))),
    el("p", { class: "facts" }, showModel ? `${facts} · ${answer.model}` : facts),
  ];
}

function failedPart({ problem }, retry) {
  return [
    el("p", { class: "note problem" }, problemText(problem)),
    problem.id && problem.status >= 500 ? el("p", { class: "facts" }, t("problem.reference", { id: problem.id })) : null,
    passing.has(problem.code) ? el("button", { type: "button", class: "button small", onclick: retry }, t("retry")) : null,
  ];
}

function waitingPart({ state, busy }) {
  const text = state === "waiting" ? t("waiting") : busy ? t("busy", { seconds: busy }) : t("sending");
  return [el("p", { class: "facts" }, text), state === "sending" ? el("span", { class: "working", "aria-hidden": "true" }) : null];
}

// placeholder stands in for a picture that the browser cannot show, such as most TIFFs.
function placeholder(picture) {
  const ending = /\.([a-z0-9]{2,4})$/i.exec(picture.name)?.[1] ?? "";
  return el("div", { class: "no-preview" }, el("strong", {}, ending.toUpperCase()), el("span", { "data-t": "no_preview" }, t("no_preview")));
}

function thumbnail(picture) {
  const image = el("img", { alt: "", decoding: "async", loading: "lazy" });
  image.addEventListener("error", () => {
    image.replaceWith(placeholder(picture));
  });
  image.src = picture.url;
  return image;
}

// Card is a picture's place in the gallery. Its thumbnail stays while the rest is made anew.
export class Card {
  constructor(picture, { retry, remove }) {
    this.picture = picture;
    this.retry = () => retry(picture);
    this.body = el("div", { class: "card-body" });
    this.remove = el("button", { type: "button", class: "remove", onclick: () => remove(picture) });
    this.remove.append(el("span", { "aria-hidden": "true" }, "×"));
    this.element = el("li", { class: "card" }, el("div", { class: "thumb" }, thumbnail(picture), this.remove), this.body);
  }

  // draw shows the picture's present state. Focus inside the part that is made anew goes to the card's heading.
  draw({ side, showModel }) {
    const { picture, body } = this;
    const hadFocus = body.contains(document.activeElement);
    const heading = el("h3", { class: "file", tabindex: "-1", title: picture.name }, el("bdi", {}, picture.name));
    const part = { done: () => answerPart(picture, side, showModel), failed: () => failedPart(picture, this.retry) }[picture.state];
    body.replaceChildren(heading, ...(part ?? (() => waitingPart(picture)))().filter(Boolean));
    this.element.dataset.state = picture.state;
    this.remove.setAttribute("aria-label", t("remove", { name: picture.name }));
    if (hadFocus) heading.focus();
  }
}
