// The key that a server may ask for. It is kept for this tab only: sessionStorage forgets it when the tab is closed.

import { $ } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

const storageKey = "vidi.key";
let key = "";
let why = ""; // the text under the field, by its key
let given = null; // resolves the promise of whoever waits for a key

try {
  key = sessionStorage.getItem(storageKey) ?? "";
} catch {
  // Where storage is forbidden the key lasts until the page is closed or reloaded.
}

// authorization is the headers that show the key.
export const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

// keyed reports whether there is a key.
export const keyed = () => key !== "";

// askForKey shows the field, with a text that says why, and resolves when a key was given.
export function askForKey(reason) {
  const first = $("key-form").hidden;
  why = key && reason === "unauthorized" ? "key_wrong" : reason;
  $("key-form").hidden = false;
  say();
  if (first) $("key").focus();
  given ??= deferred();
  return given.promise;
}

function deferred() {
  const d = {};
  d.promise = new Promise((resolve) => (d.resolve = resolve));
  return d;
}

const say = () => ($("key-note").textContent = why && t(why === "unauthorized" ? "key_note" : why));

function take(event) {
  event.preventDefault();
  // What cannot be in a header is not part of a key: blanks from pasting, quotation marks of another alphabet.
  const value = $("key").value.replace(/[^\x21-\x7e]/g, "");
  if (!value) return;
  key = value;
  try {
    sessionStorage.setItem(storageKey, key);
  } catch {
    // As above.
  }
  $("key").value = "";
  $("key-form").hidden = true;
  given?.resolve();
  given = null;
}

$("key-form").addEventListener("submit", take);
onLanguage(say);
