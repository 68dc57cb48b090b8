// A few pictures at a time, in the order they came, until all are done or somebody says stop.

export class Queue {
  #work;
  #parallel;
  #changed;
  #todo = [];
  #active = new Map(); // what ends each item's work

  done = 0; // since the queue was last idle
  all = 0;

  // work(item, signal) does one item and never rejects; changed is called whenever done, all or busy changed.
  constructor(work, { parallel, changed }) {
    this.#work = work;
    this.#parallel = parallel;
    this.#changed = changed;
  }

  get busy() {
    return this.#active.size > 0;
  }

  has(item) {
    return this.#active.has(item) || this.#todo.includes(item);
  }

  add(...items) {
    if (!this.busy) this.done = this.all = 0;
    const fresh = items.filter((item) => !this.has(item));
    this.#todo.push(...fresh);
    this.all += fresh.length;
    this.#fill();
  }

  // cancel stops what is under way and forgets the rest.
  cancel() {
    this.#todo = [];
    for (const stop of this.#active.values()) stop.abort();
  }

  // forget takes out an item; if it is under way, its work is stopped.
  forget(item) {
    this.#active.get(item)?.abort();
    const place = this.#todo.indexOf(item);
    if (place < 0) return;
    this.#todo.splice(place, 1);
    this.all--;
    this.#changed();
  }

  #fill() {
    while (this.#active.size < this.#parallel && this.#todo.length > 0) this.#run(this.#todo.shift());
    this.#changed();
  }

  async #run(item) {
    const stop = new AbortController();
    this.#active.set(item, stop);
    await this.#work(item, stop.signal);
    this.#active.delete(item);
    this.done++;
    this.#fill();
  }
}
