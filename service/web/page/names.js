// What answers are called, in the page's language and the other.

import { language } from "./i18n.js";

// nameIn is a prediction's name in a language, or nothing where the model's card has none.
export const nameIn = (prediction, lang) => prediction.names?.[lang] ?? "";

// names is a prediction's name for this page, and its name in the other language where that is another.
export function names(prediction) {
  const first = nameIn(prediction, language) || prediction.label;
  const other = nameIn(prediction, language === "zh" ? "en" : "zh") || prediction.label;
  return { first, other: other === first ? "" : other };
}

// A blank before the sign, as the SI has it, and one that does not break the line.
export const percent = (prediction) => `${prediction.confidence.toFixed(1)}\u00a0%`;

// inWords is a prediction as one text: alp (高山) 92.3 %.
export function inWords(prediction) {
  const { first, other } = names(prediction);
  return `${first}${other ? ` (${other})` : ""} ${percent(prediction)}`;
}

// reasonInWords is a condition that holds: cat (猫) 93.1 % ≥ 50 %.
export function reasonInWords({ at_least: least, below, percent: value, ...what }) {
  const { first, other } = names(what);
  const bounds = [["≥", least], ["<", below]].filter(([, bound]) => bound !== undefined);
  return [`${first}${other ? ` (${other})` : ""} ${value.toFixed(1)}\u00a0%`, ...bounds.map(([sign, bound]) => `${sign}\u00a0${bound}\u00a0%`)].join(" ");
}
