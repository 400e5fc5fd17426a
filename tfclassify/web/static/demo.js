// The demo page: photos in, bars and maps out. Who answers is in demo_answers.js.
import { addressOfExample, answer, describeModels, drawMap } from "./demo_answers.js";

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 || share > 0.9995 ? 2 : 1)} %`;
/** Photos at once from one choice; more would take the page's memory. */
const MOST_PHOTOS = 200;

let models = [];
/** Every photo of the sitting: {name, blob, address, answers}, the newest last. */
const sitting = [];
let current = null;
let limit = null; // of every class; null: each class's own
let pinned = null; // the class whose map stays: {model, column}
let wanted = 0; // counts requests for maps, so that a late one is not shown
let chain = Promise.resolve(); // photos are answered one after the other

function make(kind, given = {}, ...inside) {
  const element = Object.assign(document.createElement(kind), given);
  element.append(...inside);
  return element;
}

function complain(error) {
  at("trouble").textContent = error.message ?? String(error);
  at("trouble").hidden = false;
}

/** Return which classes are given to a photo, by the thresholds that hold now. */
function labelsOf(model, found) {
  if (!model.multi_label) return found.labels;
  if (limit === null) return found.labels;
  return found.probabilities.flatMap((p, column) => (p >= limit ? [column] : []));
}

function nameLabels(model, found) {
  return labelsOf(model, found).map((column) => model.classes[column]).join(", ") || "no label";
}

// Photos ---------------------------------------------------------------------------------

function takeFiles(files) {
  const photos = [...files].slice(0, MOST_PHOTOS);
  if (files.length > MOST_PHOTOS) complain(new Error(`Only the first ${MOST_PHOTOS} photos are shown.`));
  for (const file of photos) chain = chain.then(() => show(file, file.name || "pasted photo"));
}

async function show(blob, name) {
  at("trouble").hidden = true;
  const views = at("views").checked;
  const entry = { name, blob, views, address: URL.createObjectURL(blob), answers: [] };
  try {
    for (let model = 0; model < models.length; model++) {
      entry.answers.push(await answer(model, blob, views));
    }
  } catch (error) {
    complain(new Error(`${name}: ${error.message}`));
    URL.revokeObjectURL(entry.address);
    return;
  }
  sitting.push(entry);
  addToHistory(entry);
  display(entry);
}

function display(entry) {
  current = entry;
  pinned = null;
  at("photo").src = entry.address;
  at("photo").alt = `Photo: ${entry.name}`;
  at("told").textContent = entry.name;
  at("shown").hidden = false;
  at("map-row").hidden = !models.some((model) => model.maps !== false);
  hideMap();
  drawAnswers();
  const said = models.map((model, number) => {
    const found = entry.answers[number];
    const best = Math.max(...found.probabilities);
    return `${model.name}: ${nameLabels(model, found)}, ${percent(best)}`;
  });
  at("said").textContent = `${entry.name}. ${said.join(". ")}`;
}

function drawAnswers() {
  at("answers").replaceChildren(...models.map((model, number) => {
    const found = current.answers[number];
    const panel = make("section", { className: "answer" });
    if (models.length > 1) panel.append(make("h2", { textContent: model.name }));
    panel.append(make("p", { className: "verdict", textContent: nameLabels(model, found) }));
    const words = describeTrust(found, model);
    if (words) panel.append(make("p", { className: "quiet", textContent: words }));
    panel.append(drawBars(model, number, found));
    return panel;
  }));
}

function describeTrust(found, model) {
  const trust = found.trust;
  if (!trust) return model.multi_label ? "Marks on the bars: the thresholds." : "";
  const share = percent(trust.right / trust.images);
  return `Of ${trust.images} ${model.judged_on.split} images answered with such a confidence, ${share} were right ` +
    `(95 % interval ${percent(trust.low)} to ${percent(trust.high)}).`;
}

function drawBars(model, number, found) {
  const given = new Set(labelsOf(model, found));
  const order = found.probabilities.map((p, column) => column)
    .sort((a, b) => found.probabilities[b] - found.probabilities[a])
    .slice(0, Number(at("top").value));
  const list = make("ol", { className: "bars" });
  for (const column of order) {
    const share = found.probabilities[column];
    const fill = make("span", { className: "fill" });
    fill.style.width = `${100 * share}%`;
    const track = make("span", { className: "track" }, fill);
    if (model.multi_label) {
      const mark = make("span", { className: "mark" });
      mark.style.left = `${100 * (limit ?? model.thresholds[column])}%`;
      track.append(mark);
    }
    const button = make("button", { type: "button" },
      make("span", { className: "name", textContent: model.classes[column] }),
      make("span", { className: "share", textContent: percent(share) }), track);
    const word = given.has(column) ? ", given" : "";
    button.setAttribute("aria-label", `${model.classes[column]}, ${percent(share)}${word}`);
    button.setAttribute("aria-pressed", "false");
    if (model.maps !== false) {
      button.addEventListener("mouseenter", () => pinned || point(number, column));
      button.addEventListener("mouseleave", () => pinned || hideMap());
      button.addEventListener("focus", () => pinned || point(number, column));
      button.addEventListener("click", () => pin(button, number, column));
    }
    const item = make("li", {}, button);
    if (given.has(column)) item.className = "given";
    list.append(item);
  }
  return list;
}

// Maps -----------------------------------------------------------------------------------

async function point(model, column) {
  const turn = ++wanted;
  const entry = current;
  const key = `${model}/${column}/${entry.views}`;
  entry.maps ??= new Map();
  try {
    if (!entry.maps.has(key)) {
      entry.maps.set(key, await drawMap(model, entry.blob, column, entry.views));
    }
  } catch (error) {
    complain(error);
    return;
  }
  if (turn !== wanted || entry !== current) return;
  const name = models[model].classes[column];
  at("map").src = entry.maps.get(key);
  at("map").alt = `Where ${name} is seen`;
  at("map").style.opacity = at("opacity").value / 100;
  at("map").hidden = false;
  at("map-name").textContent = `Where ${name} is seen` + (pinned ? "" : "; click keeps it");
}

function pin(button, model, column) {
  const is_same = pinned && pinned.model === model && pinned.column === column;
  for (const other of document.querySelectorAll(".bars button")) {
    other.setAttribute("aria-pressed", "false");
  }
  pinned = is_same ? null : { model, column };
  if (is_same) return hideMap();
  button.setAttribute("aria-pressed", "true");
  point(model, column);
}

function hideMap() {
  wanted++;
  at("map").hidden = true;
  at("map-name").textContent = "Point at a class to see where it is seen.";
}

// The sitting ----------------------------------------------------------------------------

function addToHistory(entry) {
  at("history").hidden = false;
  const image = make("img", { src: entry.address, alt: "" });
  const open = make("button", { type: "button", textContent: entry.name });
  open.addEventListener("click", () => {
    display(entry);
    at("shown").scrollIntoView({ block: "nearest" });
  });
  const cells = [make("td", {}, image), make("td", {}, open)];
  entry.cells = models.map(() => make("td"));
  at("history-rows").prepend(make("tr", {}, ...cells, ...entry.cells));
  wordHistory(entry);
}

function wordHistory(entry) {
  models.forEach((model, number) => {
    const found = entry.answers[number];
    const best = Math.max(...found.probabilities);
    entry.cells[number].textContent = `${nameLabels(model, found)} (${percent(best)})`;
  });
}

/** Quote a cell; one that a spreadsheet would run as a formula gets an apostrophe. */
function quote(cell) {
  const text = /^[=+\-@\t\r]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : String(cell);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function writeTable() {
  const rows = [];
  const head = ["file", "model", "views", "label"];
  const several = new Set(models.map((model) => model.classes.join("\n"))).size > 1;
  if (!several) head.push(...models[0].classes.map((name) => `probability:${name}`));
  for (const entry of sitting) {
    models.forEach((model, number) => {
      const found = entry.answers[number];
      const label = labelsOf(model, found).map((column) => model.classes[column]).join("|");
      const row = [entry.name, model.name, entry.views ? model.views : 1, label];
      rows.push(several ? row : [...row, ...found.probabilities.map((p) => p.toPrecision(8))]);
    });
  }
  return [head, ...rows].map((row) => row.map(quote).join(",")).join("\n") + "\n";
}

function download() {
  const address = URL.createObjectURL(new Blob([writeTable()], { type: "text/csv" }));
  make("a", { href: address, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// The camera -----------------------------------------------------------------------------

async function openCamera() {
  const film = at("film");
  if (film.srcObject) return closeCamera();
  try {
    film.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    return complain(new Error(`The camera cannot be used: ${error.message}`));
  }
  film.hidden = at("shoot").hidden = false;
  at("camera").textContent = "Close the camera";
  await film.play();
}

function closeCamera() {
  const film = at("film");
  for (const track of film.srcObject?.getTracks() ?? []) track.stop();
  film.srcObject = null;
  film.hidden = at("shoot").hidden = true;
  at("camera").textContent = "Camera";
}

function shoot() {
  const film = at("film");
  const canvas = make("canvas", { width: film.videoWidth, height: film.videoHeight });
  canvas.getContext("2d").drawImage(film, 0, 0);
  const time = new Date().toLocaleTimeString("en-GB").replaceAll(":", "-");
  canvas.toBlob((blob) => takeFiles([new File([blob], `camera ${time}.png`)]), "image/png");
}

// The start ------------------------------------------------------------------------------

/** Say which images trust and examples are of, and what the report warns of them. */
function addCautions() {
  const judged = models.filter((model) => model.judged_on);
  const splits = [...new Set(judged.map((model) => model.judged_on.split))].join(" or ");
  at("example-words").textContent = `Images of the ${splits} split that it is most confidently wrong about.`;
  for (const model of judged.filter((each) => each.judged_on.caution)) {
    const name = models.length > 1 ? `${model.name}: ` : "";
    at("cautions").append(make("p", { className: "quiet", textContent: name + model.judged_on.caution }));
  }
}

function addExamples() {
  models.forEach((model, number) => {
    model.examples.forEach((example, place) => {
      const address = addressOfExample(number, place);
      const words = `${models.length > 1 ? `${model.name}: ` : ""}${example.said}, ${example.truth}`;
      const button = make("button", { type: "button" },
        make("img", { src: address, alt: "", loading: "lazy" }),
        make("span", { textContent: words }));
      button.addEventListener("click", async () => {
        try {
          const blob = await (await fetch(address)).blob();
          chain = chain.then(() => show(blob, `example ${place + 1} (${example.truth})`));
        } catch (error) {
          complain(error);
        }
      });
      at("example-list").append(button);
      at("examples").hidden = false;
    });
  });
}

function setUp() {
  const most = Math.max(...models.map((model) => model.classes.length));
  for (const number of [...new Set([3, 5, 10, 20, most])].filter((n) => n <= most)) {
    at("top").append(make("option", { value: number, textContent: number === most ? `all ${most}` : number }));
  }
  at("top").value = [...at("top").options].map((o) => Number(o.value)).filter((n) => n <= 5).pop() ?? most;
  const views = Math.max(...models.map((model) => model.views));
  if (views > 1) {
    at("views").parentElement.hidden = false;
    at("views-name").textContent = `Mean of ${views} views`;
  }
  at("limit-row").hidden = !models.some((model) => model.multi_label);
  at("history-head").append(make("th", { scope: "col" }),
    make("th", { scope: "col", textContent: "photo" }),
    ...models.map((model) => make("th", { scope: "col", textContent: models.length > 1 ? model.name : "answer" })));
  at("facts").textContent = models.map((model) =>
    `${model.classes.length} classes, ${model.size[1]} × ${model.size[0]} pixels` +
    (model.calibrated ? ", calibrated" : "")).join(" · ");
  addCautions();
  addExamples();
}

function listen() {
  at("files").addEventListener("change", (event) => {
    takeFiles(event.target.files);
    event.target.value = "";
  });
  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    takeFiles(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) takeFiles(files);
  });
  at("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  at("camera").addEventListener("click", openCamera);
  at("shoot").addEventListener("click", shoot);
  at("views").addEventListener("change", () => {
    if (current) chain = chain.then(() => show(current.blob, current.name));
  });
  at("top").addEventListener("change", () => current && drawAnswers());
  at("opacity").addEventListener("input", () => {
    at("map").style.opacity = at("opacity").value / 100;
  });
  const draw_limits = () => {
    at("limit-value").textContent = limit === null ? "each class's own" : percent(limit);
    for (const entry of sitting) wordHistory(entry);
    if (current) drawAnswers();
  };
  at("limit").addEventListener("input", () => {
    limit = at("limit").value / 100;
    draw_limits();
  });
  at("limit-own").addEventListener("click", () => {
    limit = null;
    draw_limits();
  });
  at("download").addEventListener("click", download);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      pinned = null;
      for (const other of document.querySelectorAll(".bars button")) other.setAttribute("aria-pressed", "false");
      hideMap();
    }
  });
}

try {
  models = await describeModels();
  setUp();
  listen();
  document.body.dataset.ready = "yes";
} catch (error) {
  at("facts").textContent = "";
  complain(error);
}
