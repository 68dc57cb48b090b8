// The pictures of this visit: cards, newest first, and a choice of which to show.

import { Card } from "./card.js";
import { $, el } from "./dom.js";
import { t } from "./i18n.js";
import { names } from "./names.js";

const failed = "failed";
const labelled = (picture) => (picture.state === "done" ? picture.answer.results[0].predictions[0]?.label : undefined);

export class Gallery {
  #cards = new Map(); // by picture
  #actions;
  #look = { side: 224, showModel: false };

  constructor(actions) {
    this.#actions = actions;
    $("filter").addEventListener("change", () => this.#sift());
  }

  get pictures() {
    return [...this.#cards.keys()];
  }

  // shown is the pictures that the filter lets through.
  get shown() {
    const chosen = $("filter").value;
    return this.pictures.filter((picture) => {
      if (chosen === "") return true;
      return chosen === failed ? picture.state === "failed" : chosen === `label:${labelled(picture)}`;
    });
  }

  // look sets what all cards share: the side the network wants, and whether there are several models.
  look(look) {
    this.#look = look;
    this.drawAll();
  }

  add(pictures) {
    const cards = pictures.map((picture) => [picture, new Card(picture, this.#actions)]);
    this.#cards = new Map([...cards, ...this.#cards]);
    $("cards").prepend(...cards.map(([, card]) => card.element));
    for (const [, card] of cards) card.draw(this.#look);
    this.#refresh();
  }

  remove(picture) {
    this.#cards.get(picture)?.element.remove();
    this.#cards.delete(picture);
    this.#refresh();
  }

  draw(picture) {
    this.#cards.get(picture)?.draw(this.#look);
    this.#refresh();
  }

  drawAll() {
    for (const card of this.#cards.values()) card.draw(this.#look);
    this.#refresh();
  }

  // element is where a picture is shown.
  element(picture) {
    return this.#cards.get(picture).element;
  }

  #refresh() {
    const some = this.#cards.size > 0;
    $("gallery").hidden = !some;
    document.body.classList.toggle("has-pictures", some);
    this.#options();
    this.#sift();
  }

  // The filter offers the likeliest names, the most frequent first, and keeps what was chosen while that exists.
  #options() {
    const filter = $("filter");
    const chosen = filter.value;
    const counts = new Map();
    for (const picture of this.pictures) {
      const label = labelled(picture);
      if (label === undefined) continue;
      const entry = counts.get(label) ?? { n: 0, name: names(picture.answer.results[0].predictions[0]).first };
      counts.set(label, { ...entry, n: entry.n + 1 });
    }
    const options = [["", t("all", { n: this.#cards.size })]];
    const sorted = [...counts].sort(([, a], [, b]) => b.n - a.n || a.name.localeCompare(b.name));
    for (const [label, { n, name }] of sorted) options.push([`label:${label}`, t("one_label", { label: name, n })]);
    const failures = this.pictures.filter((picture) => picture.state === "failed").length;
    if (failures > 0) options.push([failed, t("only_failed", { n: failures })]);
    filter.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    filter.value = options.some(([value]) => value === chosen) ? chosen : "";
  }

  #sift() {
    const shown = new Set(this.shown);
    for (const [picture, card] of this.#cards) card.element.hidden = !shown.has(picture);
    $("export").disabled = ![...shown].some((picture) => picture.state === "done" || picture.state === "failed");
  }
}
