// Figures as people read them, in the page's language.

import { language } from "./i18n.js";

const nothing = "–";
const missing = (value) => value === null || value === undefined;

// number has so many digits behind its point at most, and marks thousands.
export const number = (value, digits = 0) =>
  missing(value) ? nothing : new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

// percent is a share in a hundred.
export const percent = (value, digits = 1) => `${number(value, digits)}\u00a0%`;

// time is a number of milliseconds in the unit that suits it: 0.04 ms, 4.2 ms, 42 ms, 4.2 s, 42 s.
export function time(ms) {
  if (missing(ms)) return nothing;
  if (ms >= 999.5) return `${number(ms / 1000, ms < 9950 ? 1 : 0)}\u00a0s`;
  return `${number(ms, ms < 0.095 ? 2 : ms < 9.95 ? 1 : 0)}\u00a0ms`;
}
