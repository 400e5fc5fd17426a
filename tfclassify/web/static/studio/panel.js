// The words that may be said of an image, as buttons: labels, sub-labels, marks, a note.

const SHOWN = 40;
const DENSE = 12; // labels, above which they stand in two columns

/** An answer that says nothing yet. */
export const BLANK = Object.freeze({
  labels: [], sublabel: "", marks: [], note: "", skipped: false, entry: 0,
});

/** The panel; it holds no answer, but shows one and tells of every wish to change it. */
export class Panel {
  /**
   * @param {object} session What `/api/session` says.
   * @param {{label: Function, sublabel: Function, mark: Function, note: Function}} tell
   */
  constructor(session, tell) {
    this.session = session;
    this.tell = tell;
    this.part = (id) => document.getElementById(id);
    this.byKey = new Map();
    for (const { name, key } of session.labels) if (key) this.byKey.set(key, ["label", name]);
    for (const { name, key } of session.marks) if (key) this.byKey.set(key, ["mark", name]);
    this.hasMany = session.labels.length > SHOWN;
    this.part("find").hidden = !this.hasMany;
    this.part("labels").classList.toggle("dense", session.labels.length > DENSE);
    this.part("find").addEventListener("input", () => this.#list());
    this.part("find").addEventListener("keydown", (event) => this.#pick(event));
    this.part("note").addEventListener("input", () => tell.note(this.part("note").value));
    this.part("marks").replaceChildren(
      ...session.marks.map((mark) => makeWord(mark, () => tell.mark(mark.name))),
    );
    this.part("marks").previousElementSibling.hidden = !session.marks.length;
    this.shown = BLANK;
    this.#list();
  }

  /** Say what a key stands for while an answer is shown: `["label", "pen"]`, or undefined. */
  read(key) {
    const finer = this.#finer().find((each) => each.key === key);
    if (finer) return ["sublabel", finer.name];
    const found = this.byKey.get(key);
    // With Caps Lock on, a letter is still the key that it is.
    return found || key.length > 1 || key === key.toLowerCase() ? found : this.read(key.toLowerCase());
  }

  /** Show an answer. */
  show(answer) {
    this.shown = answer;
    if (this.hasMany && !this.part("find").value) this.#list();
    for (const word of this.part("labels").children) press(word, answer.labels);
    for (const word of this.part("marks").children) press(word, answer.marks);
    this.part("sublabels").hidden = !this.#finer().length;
    this.part("sublabels").replaceChildren(
      ...this.#finer().map((finer) => makeWord(finer, () => this.tell.sublabel(finer.name))),
    );
    for (const word of this.part("sublabels").children) press(word, [answer.sublabel]);
    if (this.part("note").value !== answer.note) this.part("note").value = answer.note;
  }

  /** Go to where a label is found by its name. */
  search() {
    this.part("find").focus();
    this.part("find").select();
  }

  #finer() {
    if (this.shown.labels.length !== 1) return [];
    return this.session.labels.find(({ name }) => name === this.shown.labels[0])?.sublabels ?? [];
  }

  /** Show the labels that are looked for; of very many only some. */
  #list() {
    const words = this.part("find").value.trim().toLowerCase();
    const { labels } = this.session;
    const found = words ? labels.filter(({ name }) => name.toLowerCase().includes(words)) : labels;
    const exact = found.findIndex(({ name }) => name.toLowerCase() === words);
    if (exact > 0) found.unshift(...found.splice(exact, 1));
    const chosen = labels.filter(({ name }) => this.shown.labels.includes(name));
    const listed = [...new Set([...chosen, ...found.slice(0, SHOWN)])];
    this.first = found[0];
    const more = found.length - SHOWN;
    this.part("labels").replaceChildren(
      ...listed.map((label) => makeWord(label, () => this.tell.label(label.name))),
      ...(more > 0 ? [makeText("p", `and ${more.toLocaleString("en")} more; find them by name`)] : []),
    );
    for (const word of this.part("labels").children) press(word, this.shown.labels);
  }

  #pick(event) {
    if (event.key === "Escape" || event.key === "Enter") {
      if (event.key === "Enter" && this.first) this.tell.label(this.first.name);
      event.target.value = "";
      event.target.blur();
      event.preventDefault();
      event.stopPropagation();
      this.#list();
    }
  }
}

/** Make an element with a text; the text is never read as markup. */
export function makeText(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function makeWord({ name, key, colour }, choose) {
  const word = document.createElement("button");
  word.type = "button";
  word.className = "word";
  word.dataset.name = name;
  if (colour) word.style.setProperty("--dot", colour);
  word.append(makeText("span", name));
  if (key) {
    word.append(makeText("kbd", key));
    word.setAttribute("aria-keyshortcuts", key);
  }
  word.addEventListener("click", choose);
  return word;
}

function press(word, names) {
  if (word.dataset.name !== undefined) {
    word.setAttribute("aria-pressed", String(names.includes(word.dataset.name)));
  }
}
