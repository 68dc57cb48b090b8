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
