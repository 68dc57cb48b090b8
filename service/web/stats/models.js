// The part of the operators' page about models: which versions are loaded, and how a shadow compares. It is shown where there
// is more to say than the page's first line does.

import { $, el } from "./dom.js";
import { number, percent, time } from "./format.js";
import { size, t } from "./i18n.js";

// drawModels fills the section. It is only built anew when something has changed: a selection stays.
export function drawModels(models) {
  const section = $("models");
  const several = models.some((model) => model.versions.length > 1 || model.shadow) || models.length > 1;
  section.hidden = !several;
  const state = JSON.stringify([models, t("models")]);
  if (!several || section.dataset.state === state) return;
  section.dataset.state = state;
  section.replaceChildren(el("h2", {}, t("models")), versions(models), ...models.filter((model) => model.shadow).map(comparison));
}

function versions(models) {
  const role = (model, name) => (name === "canary" ? `${t("role_canary")} ${percent(model.canary.percent, 0)}` : t(`role_${name}`));
  const rows = models.flatMap((model) =>
    model.versions.map((version) =>
      row("td", `${model.name} ${version.version}`, version.roles.map((name) => role(model, name)).join(", ") || "–", version.precision, size(version.memory)),
    ),
  );
  return table(row("th", t("model"), t("role"), t("precision"), t("memory_estimate")), rows);
}

function comparison(model) {
  const c = model.shadow;
  const facts = [t("shadow_counts", { pictures: c.pictures, dropped: c.dropped, failed: c.failed })];
  if (c.pictures > 0) {
    facts.unshift(t("shadow_agreement", { agreement: percent(c.agreement), difference: number(c.difference, 3) }));
    facts.push(t("shadow_times", { shadow: time(c.inference_ms), stable: time(c.stable_inference_ms) }));
  }
  const name = (named) => `${named.label} ${percent(100 * named.probability, 0)}`;
  const rows = c.differences.map((d) => row("td", new Date(d.time).toLocaleTimeString(), name(d.stable), name(d.shadow), d.request_id));
  return el(
    "div",
    { class: "comparison" },
    el("h3", {}, t("shadow_title", { name: model.name, version: c.version, against: c.against, percent: c.percent })),
    ...facts.map((fact) => el("p", {}, fact)),
    rows.length > 0 ? table(row("th", t("shadow_time"), t("role_stable"), t("role_shadow"), t("shadow_request")), rows) : null,
  );
}

const row = (cell, ...texts) => el("tr", {}, ...texts.map((text) => el(cell, cell === "th" ? { scope: "col" } : {}, text)));

const table = (head, rows) =>
  el("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("models") }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
