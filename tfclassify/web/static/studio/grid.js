// Many images at once: tiles, a selection by pointer, range and keys, and what is told of it.

import { makeText } from "./panel.js";

const PAGE = 90;
const SIDE = 240;

/** The grid of the images in the work's list. */
export class Grid {
  /**
   * @param {import("./work.js").Work} work
   * @param {{changed: Function, opened: Function}} tell Of another selection; of an image that
   *   is to be seen alone.
   */
  constructor(work, tell) {
    this.work = work;
    this.tell = tell;
    this.box = document.getElementById("grid");
    this.chosen = new Set();
    this.here = 0;
    this.colours = new Map(work.session.labels.map(({ name, colour }) => [name, colour]));
    this.box.addEventListener("click", (event) => this.#click(event));
    this.box.addEventListener("dblclick", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) tell.opened(Number(tile.dataset.at));
    });
    this.box.addEventListener("scroll", () => this.#extend(), { passive: true });
  }

  /** Show the list from its beginning, with nothing selected. */
  async show() {
    this.chosen.clear();
    this.here = 0;
    this.box.replaceChildren();
    if (!this.work.places.length) {
      this.box.append(makeText("p", "No image here is as wished for.", "empty"));
    }
    await this.#append();
    this.#mark(0);
    this.tell.changed();
  }

  /** Draw the answers of the tiles that are there. */
  draw() {
    for (const tile of this.box.querySelectorAll(".tile")) this.#fill(tile);
  }

  get places() {
    return [...this.chosen].map((at) => this.work.places[at]);
  }

  selectAll() {
    for (const tile of this.box.children) this.#choose(Number(tile.dataset.at), true);
    this.tell.changed();
  }

  selectNone() {
    for (const at of [...this.chosen]) this.#choose(at, false);
    this.tell.changed();
  }

  /** Answer a key; true where it was one of the grid's. */
  press(event) {
    const across = Math.max(1, Math.round(this.box.clientWidth / (this.box.children[0]?.offsetWidth + 8 || 120)));
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across };
    if (event.key in steps) this.#step(steps[event.key], event.shiftKey);
    else if (event.key === " ") this.#toggle(this.here);
    else if (event.key === "Enter") this.tell.opened(this.here);
    else if (event.key === "Escape") this.selectNone();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) this.selectAll();
    else return false;
    return true;
  }

  #step(by, isRange) {
    const last = this.box.querySelectorAll(".tile").length - 1;
    if (isRange) this.#choose(this.here, true);
    this.#mark(Math.min(last, Math.max(0, this.here + by)));
    if (isRange) this.#choose(this.here, true);
    this.tell.changed();
  }

  #click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const at = Number(tile.dataset.at);
    if (event.shiftKey) {
      const [from, to] = [Math.min(at, this.here), Math.max(at, this.here)];
      for (let each = from; each <= to; each += 1) this.#choose(each, true);
      this.#mark(at);
      this.tell.changed();
      return;
    }
    this.#toggle(at);
  }

  #toggle(at) {
    this.#choose(at, !this.chosen.has(at));
    this.#mark(at);
    this.tell.changed();
  }

  #choose(at, isChosen) {
    const tile = this.box.children[at];
    if (!tile?.dataset.at) return;
    this.chosen[isChosen ? "add" : "delete"](at);
    tile.setAttribute("aria-selected", String(isChosen));
  }

  #mark(at) {
    this.box.children[this.here]?.classList.remove("here");
    this.here = at;
    const tile = this.box.children[at];
    tile?.classList.add("here");
    tile?.scrollIntoView({ block: "nearest" });
    if (tile) this.box.setAttribute("aria-activedescendant", tile.id);
  }

  #extend() {
    const rest = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight;
    if (rest < 600 && !this.isExtending) this.#append();
  }

  async #append() {
    this.isExtending = true;
    const from = this.box.querySelectorAll(".tile").length;
    const places = this.work.places.slice(from, from + PAGE);
    try {
      await this.work.know(places);
      this.box.append(...places.map((place, step) => this.#make(place, from + step)));
    } finally {
      this.isExtending = false;
    }
  }

  #make(place, at) {
    const tile = document.createElement("div");
    tile.className = "tile";
    tile.id = `tile-${at}`;
    tile.dataset.at = at;
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-selected", "false");
    const image = new Image();
    image.loading = "lazy";
    image.decoding = "async";
    image.src = `/image/${place}/${SIDE}`;
    tile.append(image, makeText("b", ""));
    this.#fill(tile);
    return tile;
  }

  #fill(tile) {
    const place = this.work.places[Number(tile.dataset.at)];
    const item = this.work.items.get(place);
    const said = describeAnswer(item?.answer);
    tile.querySelector("b").textContent = said;
    tile.querySelector("b").hidden = !said;
    tile.style.setProperty("--dot", this.colours.get(item?.answer?.labels[0]) ?? "transparent");
    tile.querySelector("img").alt = `${item?.name ?? ""}: ${said || "no answer"}`;
    tile.title = item?.name ?? "";
  }
}

/** Write an answer as people read it; empty where there is none. */
export function describeAnswer(answer) {
  if (!answer) return "";
  if (answer.skipped) return "skipped";
  const labels = answer.labels.join(", ") || (answer.marks.length ? "" : "none");
  const finer = answer.sublabel ? ` / ${answer.sublabel}` : "";
  const marks = answer.marks.length ? ` (${answer.marks.join(", ")})` : "";
  return `${labels}${finer}${marks}`.trim();
}
