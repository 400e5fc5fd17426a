// The studio's page: keys and buttons become changes, and what came of them is shown.

import { ask } from "../asking.js";
import { describeAnswer, Grid } from "./grid.js";
import { BLANK, makeText, Panel } from "./panel.js";
import { Look, Pictures } from "./pictures.js";
import { Work } from "./work.js";

const part = (id) => document.getElementById(id);
const KEYS = [
  ["Space, Enter", "write the answer and go on"],
  ["Backspace, ←", "back to the image before"],
  ["→", "on without an answer"],
  [",", "skip: leave it to others"],
  ["Ctrl+Z", "undo the last act, as often as you like"],
  [".", "take the model’s suggestion"],
  [";", "write a note; Escape or Ctrl+Enter leaves it"],
  ["+  −", "larger, smaller; drag to move, pinch on a touch screen"],
  ["[  ]", "darker, brighter"],
  ["/", "find a label or an image by name"],
  ["F2", "one image or many"],
  ["Ctrl+A, Shift+click, Shift+arrow", "select all, a range"],
  ["?", "these keys"],
];

class Studio {
  constructor(session) {
    this.session = session;
    this.work = new Work(session);
    this.pictures = new Pictures(session.sides[1]);
    this.look = new Look(part("stage"));
    this.look.onswipe = (by) => this.step(by);
    this.panel = new Panel(session, {
      label: (name) => this.setLabel(name),
      sublabel: (name) => this.setSublabel(name),
      mark: (name) => this.setMark(name),
      note: (text) => { this.draft = { ...this.draft, note: text }; },
    });
    this.grid = new Grid(this.work, {
      changed: () => this.showSelection(),
      opened: (at) => this.open(at),
    });
    this.draft = BLANK;
    this.isGrid = false;
    this.isBusy = false;
    this.fillPage();
  }

  // What the session says, once.

  fillPage() {
    const { session } = this;
    part("source").title = `${session.source}\nSession: ${session.session}`;
    part("auto").checked = !session.several && session.labels.every((each) => !each.sublabels.length);
    part("retrain").hidden = !session.learns;
    document.querySelector('[data-do="alike"]').hidden = !session.learns;
    const form = part("wish");
    const fill = (name, pairs) => {
      form[name].replaceChildren(...pairs.map(([value, words]) => new Option(words, value)));
      form[name].parentElement.hidden = pairs.length < 2;
    };
    const anyOf = (names) => [["", "any"], ...names.map((name) => [name, name])];
    fill("state", [
      ["todo", "to do"], ["done", "done"], ["skipped", "skipped"], ["all", "all"],
      ...(session.is_review ? [["disputed", "labellers differ"]] : []),
    ]);
    if (session.is_review) form.state.value = "disputed";
    fill("order", Object.entries(session.orders));
    form.order.value = session.order;
    fill("label", anyOf(session.labels.map(({ name }) => name)));
    fill("mark", anyOf(session.marks.map(({ name }) => name)));
    fill("given", anyOf(session.given));
    fill("by", session.is_review ? anyOf(session.labellers) : []);
    for (const name of ["doubt", "is_against"]) form[name].parentElement.hidden = !session.has_model;
    form.labeller.value = session.labeller;
    form.labeller.parentElement.hidden = session.is_review;
    this.complain(session.remarks.join(" "));
    part("keys").querySelector("dl").replaceChildren(...this.listKeys());
    this.listen();
  }

  *listKeys() {
    const { labels, marks } = this.session;
    const finer = labels.flatMap(({ name, sublabels }) =>
      sublabels.map((each) => ({ key: each.key, name: `${name} / ${each.name}` })));
    const own = [...labels, ...finer, ...marks].filter(({ key }) => key);
    for (const [keys, words] of [...KEYS, ...own.map(({ key, name }) => [key, name])]) {
      const head = document.createElement("dt");
      for (const key of keys.split(", ")) head.append(makeText("kbd", key), " ");
      yield head;
      yield makeText("dd", words);
    }
  }

  listen() {
    document.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      // After a click by pointer, the next space belongs to the image.
      if (button && event.detail) button.blur();
      if (button?.dataset.do) this.act(button.dataset.do);
    });
    part("view").addEventListener("click", () => this.turn());
    part("undo").addEventListener("click", () => this.undo());
    part("help").addEventListener("click", () => part("keys").showModal());
    part("filters").addEventListener("click", () => this.showFilters(part("wish").hidden));
    part("retrain").addEventListener("click", () => this.retrain());
    part("wish").addEventListener("change", () => this.list());
    part("wish").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.target.blur(); // the next key belongs to the image
    });
    part("note").addEventListener("keydown", (event) => {
      if (event.key === "Escape" || (event.key === "Enter" && event.ctrlKey)) part("note").blur();
    });
    document.addEventListener("visibilitychange", () => this.returned());
  }

  // Keys and buttons.

  press(event) {
    const target = event.target;
    if (event.isComposing || part("keys").open) return;
    if (target.matches("textarea, select, input:not([type=checkbox])")) return;
    if (target.matches("button, input") && (event.key === " " || event.key === "Enter")) return;
    const isCommand = event.ctrlKey || event.metaKey;
    if (isCommand && event.key.toLowerCase() === "z") return this.take(event, () => this.undo());
    if (this.isGrid && this.grid.press(event)) return event.preventDefault();
    if (isCommand || event.altKey) return undefined;
    const does = {
      " ": "confirm", Enter: "confirm", Backspace: "back", ArrowLeft: "back", ArrowRight: "on",
      ",": "skip", ".": "accept", ";": "note", "/": "find", "?": "help", F2: "turn",
      "+": "in", "=": "in", "-": "out", "[": "darker", "]": "brighter",
    }[event.key];
    if (does) return this.take(event, () => this.act(does));
    const meant = this.panel.read(event.key);
    if (!meant) return undefined;
    const [kind, name] = meant;
    return this.take(event, () => (
      { label: this.setLabel, sublabel: this.setSublabel, mark: this.setMark }[kind].call(this, name)
    ));
  }

  take(event, act) {
    event.preventDefault();
    // A key that is held down must not label a hundred images.
    if (!event.repeat || ["Backspace", "ArrowLeft", "ArrowRight", "+", "-", "=", "[", "]"].includes(event.key)) act();
  }

  act(what) {
    ({
      confirm: () => (this.isGrid ? undefined : this.confirm()),
      back: () => this.step(-1),
      on: () => this.step(1),
      skip: () => this.skip(),
      accept: () => this.accept(),
      note: () => part("note").focus(),
      find: () => this.find(),
      help: () => part("keys").showModal(),
      turn: () => this.turn(),
      in: () => this.look.scale(1.5),
      out: () => this.look.scale(1 / 1.5),
      darker: () => this.look.lighten(1 / 1.25),
      brighter: () => this.look.lighten(1.25),
      all: () => this.grid.selectAll(),
      none: () => this.grid.selectNone(),
      alike: () => this.findAlike(),
    })[what]?.();
  }

  find() {
    if (this.panel.hasMany) return this.panel.search();
    this.showFilters(true);
    return part("wish").search.focus();
  }

  showFilters(isShown) {
    part("wish").hidden = !isShown;
    part("filters").setAttribute("aria-expanded", String(isShown));
  }

  // One image.

  list() {
    return this.try(() => this.relist());
  }

  async relist() {
    const form = part("wish");
    const wish = Object.fromEntries(
      ["state", "order", "label", "mark", "given", "by", "search"].map((name) => [name, form[name].value]),
    );
    wish.doubt = Number(form.doubt.value);
    wish.is_against = form.is_against.checked;
    this.work.labeller = form.labeller.value.trim() || this.session.labeller;
    await this.work.list(wish);
    await this.show();
  }

  /** Show where the work is now. */
  async show() {
    this.count();
    if (this.isGrid) return this.grid.show();
    this.look.reset();
    const { place } = this.work;
    if (place === undefined) return this.showEnd();
    this.pictures.follow(this.work.places, this.work.at);
    const [{ image, fault }] = await Promise.all([
      this.pictures.load(place), this.work.know([place]),
    ]);
    if (place !== this.work.place || this.isGrid) return undefined; // gone on meanwhile
    const item = this.work.items.get(place);
    this.draft = this.start = item.answer ?? this.joinMarks(item);
    this.shown = place;
    this.isBroken = Boolean(fault);
    image.alt = item.name;
    image.draggable = false;
    image.classList.toggle("tiny", !fault && Math.max(image.naturalWidth, image.naturalHeight) < 160);
    part("stage").replaceChildren(fault ? makeFault(fault, this.session.broken_mark) : image);
    part("name").textContent = item.name;
    this.describe(item);
    this.panel.show(this.draft);
    this.work.since = performance.now();
    return undefined;
  }

  /** A review begins with every mark that anybody set; whoever decides may take it off. */
  joinMarks({ others }) {
    const set = new Set(Object.values(others).flatMap(({ marks }) => marks));
    return { ...BLANK, marks: this.session.marks.map(({ name }) => name).filter((name) => set.has(name)) };
  }

  describe(item) {
    const number = (value) => value.toLocaleString("en");
    const facts = [`${number(this.work.at + 1)} of ${number(this.work.places.length)}`];
    if (item.answer) facts.push(`your answer: ${describeAnswer(item.answer)}`);
    part("facts").textContent = facts.join(" · ");
    const said = item.suggestion;
    part("suggestion").hidden = !said;
    if (said) {
      const share = (100 * said.probability).toFixed(0);
      part("suggestion").textContent = `The model says ${said.labels.join(", ") || "none"} (${share} %)`;
      part("suggestion").append(" ", makeText("kbd", "."));
      if (said.reason) part("suggestion").append(makeText("span", said.reason, "reason"));
    }
    const others = Object.entries(item.others);
    part("others").hidden = !others.length;
    part("others").replaceChildren(...others.flatMap(([who, answer]) => [
      makeText("dt", who), makeText("dd", describeAnswer(answer) || "none"),
    ]));
    part("said").textContent = `${item.name}. ${facts.join(". ")}`;
  }

  showEnd() {
    this.shown = undefined;
    this.draft = this.start = BLANK;
    const words = this.work.progress.todo || !this.isQueue
      ? "No image here is as wished for. Change the filter."
      : "All done. The answers are on the disk; this page may be closed.";
    part("stage").replaceChildren(makeText("p", words, "fault"));
    part("name").textContent = part("facts").textContent = "";
    part("suggestion").hidden = part("others").hidden = true;
    part("said").textContent = words;
    this.panel.show(BLANK);
  }

  count() {
    const order = part("wish").order;
    const said = order.value === "name" ? "" : ` · ${order.selectedOptions[0]?.text ?? ""}`;
    part("progress").textContent = this.work.describe() + said;
    part("undo").disabled = !this.work.progress.can_undo;
  }

  step(by) {
    if (this.isGrid || this.isBusy) return;
    const isEnd = by > 0 && this.work.at === this.work.places.length - 1;
    if (this.work.go(this.work.at + by)) this.try(() => this.show());
    else if (isEnd) this.try(() => this.end());
  }

  async end() {
    this.work.progress = await ask("/api/progress", { labeller: this.work.labeller });
    this.count();
    if (this.isQueue && this.work.progress.todo) return this.relist();
    this.work.places = [];
    return this.showEnd();
  }

  /** Whether what is shown becomes less with every answer. */
  get isQueue() {
    return ["todo", "disputed"].includes(part("wish").state.value);
  }

  setLabel(name) {
    if (this.isGrid) return this.answerMany((answer) => this.withLabel(answer, name));
    this.draft = this.withLabel(this.draft, name);
    this.panel.show(this.draft);
    const finer = this.session.labels.find((each) => each.name === name).sublabels.length;
    if (part("auto").checked && !this.session.several && !finer && this.draft.labels.length) {
      return this.confirm();
    }
    return undefined;
  }

  withLabel(answer, name) {
    const { several, labels } = this.session;
    if (!several) {
      const isSame = answer.labels[0] === name && answer.sublabel === "" && !this.isGrid && !part("auto").checked;
      return { ...answer, labels: isSame ? [] : [name], sublabel: "", skipped: false };
    }
    const isThere = answer.labels.includes(name) && !this.isGrid;
    const chosen = isThere ? answer.labels.filter((each) => each !== name) : [...new Set([...answer.labels, name])];
    const order = new Map(labels.map((each, place) => [each.name, place]));
    chosen.sort((one, other) => order.get(one) - order.get(other));
    return { ...answer, labels: chosen, sublabel: "", skipped: false };
  }

  setSublabel(name) {
    if (this.isGrid) return undefined;
    this.draft = { ...this.draft, sublabel: this.draft.sublabel === name ? "" : name };
    this.panel.show(this.draft);
    return part("auto").checked && this.draft.sublabel ? this.confirm() : undefined;
  }

  setMark(name) {
    const change = (answer) => {
      const isThere = answer.marks.includes(name);
      if (isThere && this.isGrid) return answer;
      const marks = isThere ? answer.marks.filter((each) => each !== name) : [...answer.marks, name];
      return { ...answer, marks, skipped: false };
    };
    if (this.isGrid) return this.answerMany(change);
    this.draft = change(this.draft);
    return this.panel.show(this.draft);
  }

  accept() {
    const said = this.work.items.get(this.work.place)?.suggestion;
    if (!said || this.isGrid) return undefined;
    this.draft = { ...this.draft, labels: said.labels, sublabel: "", skipped: false };
    this.panel.show(this.draft);
    return this.confirm();
  }

  skip() {
    if (this.isGrid || this.shown === undefined) return undefined;
    if (this.work.answerOf(this.work.place).entry) return this.step(1);
    this.draft = { ...BLANK, note: this.draft.note, skipped: true };
    return this.confirm();
  }

  /** Write the answer that is shown; go on when it is on the disk. */
  async confirm() {
    const { place } = this.work;
    if (this.isBusy || place === undefined || this.shown !== place) return;
    const before = this.work.answerOf(place);
    const isSame = before.entry && describeAnswer(before) === describeAnswer(this.draft)
      && before.note === this.draft.note;
    const { labels, marks, note, skipped } = this.draft;
    const isMarked = before.entry ? marks.length : marks.join() !== this.start.marks.join();
    if (!isSame && !this.session.several && !skipped && !labels.length && !isMarked && !note.trim()) {
      const mark = this.isBroken ? this.session.broken_mark : "";
      this.complain(mark ? `Choose a label, or the mark “${mark}”; , skips.` : "Choose a label first; , skips.");
      return;
    }
    this.complain("");
    await this.try(async () => {
      if (!isSame) {
        await this.work.answer(new Map([[place, this.draft]]));
        part("said").textContent = `${describeAnswer(this.draft)}, written`;
      }
      if (this.work.go(this.work.at + 1)) await this.show();
      else await this.end();
    });
  }

  async undo() {
    await this.try(async () => {
      const items = await this.work.undo();
      this.complain(items ? "" : "There is nothing left to undo.");
      if (this.isGrid) { this.grid.draw(); this.count(); } else await this.show();
    });
  }

  // Many images.

  async turn() {
    this.isGrid = !this.isGrid;
    part("single").hidden = this.isGrid;
    part("many").hidden = !this.isGrid;
    part("view").textContent = this.isGrid ? "One" : "Grid";
    for (const id of ["suggestion", "others"]) part(id).hidden = true;
    for (const each of [".note", ".tick"]) document.querySelector(each).hidden = this.isGrid;
    this.panel.show(BLANK);
    await this.try(() => this.show());
    if (this.isGrid) part("grid").focus();
  }

  async open(at) {
    this.work.go(at);
    if (this.isGrid) await this.turn();
  }

  showSelection() {
    const count = this.grid.chosen.size;
    part("selected").textContent = `${count.toLocaleString("en")} selected`;
    document.querySelector('[data-do="alike"]').disabled = count !== 1;
  }

  async answerMany(change) {
    const { places } = this.grid;
    if (!places.length) return this.complain("Select images first: click, Shift+click, or Ctrl+A.");
    this.complain("");
    const answers = new Map(places.map((place) => [place, change(this.work.answerOf(place))]));
    return this.try(async () => {
      await this.work.answer(answers);
      this.grid.draw();
      this.grid.selectNone();
      this.count();
      part("said").textContent = `${places.length} images written`;
    });
  }

  async findAlike() {
    const [place] = this.grid.places;
    await this.try(async () => {
      const alike = await ask(`/api/alike/${place}`);
      await this.work.take([place, ...alike]);
      await this.grid.show();
      this.complain("These look most like the image you selected. Filter shows the others again.");
    });
  }

  async retrain() {
    part("retrain").disabled = true;
    part("retrain").textContent = "Training …";
    await this.try(async () => {
      const { message } = await ask("/api/retrain", { labeller: this.work.labeller });
      await this.relist();
      this.complain(message);
    });
    part("retrain").textContent = "Train on my labels";
    part("retrain").disabled = false;
  }

  // Trouble.

  /**
   * Do one thing at a time; say what went wrong, and keep what was not written. A key that is
   * pressed meanwhile was not meant for an image that nobody has seen, so it counts for nothing.
   */
  async try(act) {
    if (this.isBusy) return;
    this.isBusy = true;
    document.body.ariaBusy = "true";
    try {
      await act();
    } catch (error) {
      await this.explain(error);
    } finally {
      this.isBusy = false;
      document.body.ariaBusy = "false";
      this.count();
    }
  }

  async explain(error) {
    if (error.status === undefined) throw error;
    if (error.status !== 409) {
      const kept = error.status === 400 ? "" : " Nothing was written; try again, it is still here.";
      return this.complain(`${error.message}${kept}`);
    }
    this.complain(error.message);
    const places = this.isGrid ? this.grid.places : [this.work.place];
    await this.work.know(places, true).catch(() => {});
    return this.isGrid ? this.grid.draw() : this.show();
  }

  /** Another tab may have answered meanwhile. */
  async returned() {
    if (document.hidden || this.isGrid || this.isBusy || this.shown === undefined) return;
    const before = this.work.answerOf(this.shown).entry;
    await this.work.know([this.shown], true).catch(() => {});
    if (this.work.answerOf(this.shown).entry !== before) await this.show();
  }

  complain(message) {
    part("trouble").textContent = message;
    part("trouble").hidden = !message;
  }
}

function makeFault(fault, mark) {
  const made = makeText("div", "", "fault");
  made.append(makeText("b", "This image cannot be shown"), makeText("p", fault));
  if (mark) made.append(makeText("p", `Mark it “${mark}”, then go on.`, "quiet"));
  return made;
}

async function begin() {
  try {
    const studio = new Studio(await ask("/api/session"));
    await studio.list();
    document.body.dataset.ready = "yes";
  } catch (error) {
    part("trouble").textContent = error.message;
    part("trouble").hidden = false;
    if (error.status === undefined) throw error;
  }
}

begin();
