// What is labelled: the images that were wished for, what is known of them, and every change.

import { ask } from "../asking.js";
import { BLANK } from "./panel.js";

const CHUNK = 60;
const LONGEST_S = 120; // of one act: whoever takes longer was away
const LOOKED_BACK = 30;

/** The labeller's work; every change is on the server's disk when its promise is kept. */
export class Work {
  constructor(session) {
    this.session = session;
    this.labeller = session.labeller;
    this.places = [];
    this.at = 0;
    this.items = new Map();
    this.asked = new Map();
    this.times = [];
    this.progress = { done: 0, skipped: 0, todo: 0, can_undo: false };
  }

  get place() {
    return this.places[this.at];
  }

  /** Ask which images are wished for, and begin with the first. */
  async list(wish) {
    const { places, progress } = await ask("/api/list", { labeller: this.labeller, ...wish });
    Object.assign(this, { places, progress, at: 0, since: performance.now() });
    this.items.clear();
    this.asked.clear();
    await this.know(places.slice(0, CHUNK));
  }

  /** Show some images and no others, such as those that look alike. */
  async take(places) {
    Object.assign(this, { places, at: 0, since: performance.now() });
    await this.know(places.slice(0, CHUNK));
  }

  /** Learn what is known of images, unless it is known here. */
  async know(places, isAfresh = false) {
    const missing = places.filter((each) => isAfresh || !this.asked.has(each));
    if (missing.length) {
      const asking = ask("/api/items", { labeller: this.labeller, places: missing })
        .then((items) => { for (const item of items) this.items.set(item.place, item); });
      for (const each of missing) this.asked.set(each, asking);
      asking.catch(() => { for (const each of missing) this.asked.delete(each); });
    }
    await Promise.all(places.map((each) => this.asked.get(each)));
  }

  /** Go to an image by its position in the list; false where there is none. */
  go(at) {
    if (at < 0 || at >= this.places.length) return false;
    this.at = at;
    this.since = performance.now();
    this.know(this.places.slice(at, at + CHUNK / 2)).catch(() => {});
    return true;
  }

  answerOf(place) {
    return this.items.get(place)?.answer ?? BLANK;
  }

  /**
   * Write answers down, all in one act.
   * @param {Map<number, object>} answers By place.
   */
  async answer(answers) {
    const seconds = Math.min(LONGEST_S, (performance.now() - this.since) / 1000);
    const given = [...answers].map(([place, { entry, ...said }]) => ({
      place, seen: this.answerOf(place).entry, ...said,
    }));
    const { entry } = await ask(
      "/api/answer", { labeller: this.labeller, seconds, answers: given },
    );
    for (const [place, said] of answers) {
      const before = this.items.get(place)?.answer;
      this.#count(before, -1);
      this.#count(said, 1);
      if (!before) this.progress.todo = Math.max(0, this.progress.todo - 1);
      this.items.get(place).answer = { ...said, entry };
    }
    this.progress.can_undo = true;
    this.times.push(...Array(answers.size).fill(seconds / answers.size));
    this.times.splice(0, this.times.length - LOOKED_BACK);
    this.since = performance.now();
  }

  /** Take the last act back; go to its first image, if it is in the list. */
  async undo() {
    const { items } = await ask("/api/undo", { labeller: this.labeller });
    for (const item of items) {
      this.items.set(item.place, item);
      this.asked.set(item.place, Promise.resolve());
    }
    this.progress = await ask("/api/progress", { labeller: this.labeller });
    if (!items.length) return null;
    const at = this.places.indexOf(items[0].place);
    if (at >= 0) this.go(at);
    else {
      this.places.splice(this.at, 0, ...items.map(({ place }) => place));
      this.go(this.at);
    }
    return items;
  }

  #count(answer, by) {
    if (answer) this.progress[answer.skipped ? "skipped" : "done"] += by;
  }

  /** Images an hour at the pace of the last ones; 0 before there is one. */
  get speed() {
    const seconds = this.times.reduce((sum, each) => sum + each, 0);
    return this.times.length > 2 && seconds ? Math.round(3600 * this.times.length / seconds) : 0;
  }

  /** How far the work is, in words. */
  describe() {
    const { done, skipped, todo } = this.progress;
    const number = (value) => value.toLocaleString("en");
    const parts = [`${number(done)} done`, `${number(todo)} to do`];
    if (skipped) parts.push(`${number(skipped)} skipped`);
    if (this.speed) parts.push(`${number(this.speed)} an hour`);
    return parts.join(" · ");
  }
}
