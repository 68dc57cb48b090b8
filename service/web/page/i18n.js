// The page's language: the browser's to begin with, then whatever the person chose last.

import en from "./words.en.js";
import zh from "./words.zh.js";

const words = { en, zh };
const tags = { en: "en", zh: "zh-CN" };
const storageKey = "vidi.language";
const listeners = [];

// Where storage is forbidden (private windows, settings) even looking at localStorage throws.
function remembered() {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}

function remember(language) {
  try {
    localStorage.setItem(storageKey, language);
  } catch {
    // It then lasts until the page is closed.
  }
}

function preferred() {
  for (const tag of navigator.languages ?? [navigator.language]) {
    const language = tag.toLowerCase().split("-")[0];
    if (Object.hasOwn(words, language)) return language;
  }
  return "en";
}

const stored = remembered();
export let language = Object.hasOwn(words, stored) ? stored : preferred();

// t is the text for key, with {name} replaced by values.name; a key that there is no text for is itself the text.
export function t(key, values = {}) {
  const word = words[language][key];
  if (typeof word === "function") return word(values);
  return (word ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

// addWords gives another page of this server words of its own, over those of the page: {en: {…}, zh: {…}}.
export function addWords(more) {
  for (const language of Object.keys(words)) Object.assign(words[language], more[language]);
}

// known reports whether there is a text for key.
export const known = (key) => Object.hasOwn(words[language], key);

// onLanguage calls listener whenever the language changes; what is in data-t attributes changes by itself.
export const onLanguage = (listener) => listeners.push(listener);

export function setLanguage(chosen) {
  language = chosen;
  remember(chosen);
  applyLanguage();
  for (const listener of listeners) listener();
}

// applyLanguage fills every element that names its text.
export function applyLanguage() {
  document.documentElement.lang = tags[language];
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

// size is a number of bytes as people read it; the server counts in binary units, and so does this.
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${new Intl.NumberFormat(tags[language], { maximumFractionDigits: bytes < 10 ? 1 : 0 }).format(bytes)} ${units[unit]}`;
}
