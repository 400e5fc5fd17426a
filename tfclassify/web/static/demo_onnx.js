// Who answers the demo page where there is no server: the ONNX artefacts beside it, run by
// onnxruntime-web, which lies in ort/ (README.md says where to get it).
import { readPhoto } from "./resizing.js";

/** Cells across and down that are covered, one after the other, for a map. */
const CELLS = 8;
/** What a cell is covered with: the middle of the range. */
const GREY = 127.5;

let ort = null;
let models = [];
const sessions = [];

export async function describeModels() {
  try {
    ort = await import("./ort/ort.wasm.min.mjs");
  } catch {
    throw new Error("ort/ort.wasm.min.mjs is missing or cannot be loaded: README.md of this folder says where to get it, and that the page needs a web server");
  }
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = 1; // threads need headers that many hosts do not send
  const found = await fetch("./models.json");
  if (!found.ok) throw new Error(`models.json: error ${found.status}`);
  models = await found.json();
  for (const model of models) {
    sessions.push(await ort.InferenceSession.create(`./${model.file}`, { executionProviders: ["wasm"] }));
  }
  return models;
}

/** Run a network on one image; the answers come one after the other. */
let turn = Promise.resolve();
function run(number, pixels) {
  const [height, width] = models[number].size;
  const given = { images: new ort.Tensor("float32", pixels, [1, height, width, 3]) };
  const work = turn.then(async () => (await sessions[number].run(given)).probabilities.data);
  turn = work.catch(() => {});
  return work;
}

export async function answer(number, photo) {
  const model = models[number];
  const { pixels } = await readPhoto(photo, model);
  let row = Array.from(await run(number, pixels));
  if (model.temperature !== null) row = soften(row, model.temperature);
  const best = row.indexOf(Math.max(...row));
  const labels = model.multi_label
    ? row.flatMap((p, column) => (p >= model.thresholds[column] ? [column] : []))
    : [best];
  return { probabilities: row, labels, views: 1, trust: model.multi_label ? null : findTrust(model, row[best]) };
}

function soften(row, temperature) {
  const logs = row.map((p) => Math.log(Math.max(p, 1e-12)) / temperature);
  const most = Math.max(...logs);
  const powers = logs.map((log) => Math.exp(log - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

function findTrust(model, confidence) {
  return model.trust.find((part) => part.from < confidence && confidence <= part.to) ?? null;
}

/** Cover one cell after the other, and see how much of the class goes with it. */
export async function drawMap(number, photo, column) {
  const model = models[number];
  const { pixels, width, height } = await readPhoto(photo, model);
  const [high, wide] = model.size;
  const whole = logit((await run(number, pixels))[column]);
  const canvas = new OffscreenCanvas(CELLS, CELLS);
  const losses = [];
  for (let cell = 0; cell < CELLS * CELLS; cell++) {
    const [row, place] = [Math.floor(cell / CELLS), cell % CELLS];
    const covered = pixels.slice();
    const [top, bottom] = [row, row + 1].map((edge) => Math.round((edge * high) / CELLS));
    const [left, right] = [place, place + 1].map((edge) => Math.round((edge * wide) / CELLS));
    for (let y = top; y < bottom; y++) covered.fill(GREY, 3 * (y * wide + left), 3 * (y * wide + right));
    losses.push(Math.max(0, whole - logit((await run(number, covered))[column])));
  }
  const most = Math.max(...losses) || 1;
  const image = new ImageData(CELLS, CELLS);
  losses.forEach((loss, cell) => {
    const heat = loss / most;
    image.data.set([255, 90 + 150 * heat, 40, 255 * (0.1 + 0.75 * Math.sqrt(heat))], 4 * cell);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  const shown = new OffscreenCanvas(width, height);
  const drawing = shown.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(canvas, ...placeMap(model, width, height));
  return URL.createObjectURL(await shown.convertToBlob({ type: "image/png" }));
}

/** Where in a photo the square that the network sees lies: `[left, top, width, height]`. */
function placeMap(model, width, height) {
  const [high, wide] = model.size;
  if (model.resize === "stretch") return [0, 0, width, height];
  const scale = model.resize === "crop" ? Math.min(width / wide, height / high) : Math.max(width / wide, height / high);
  return [(width - wide * scale) / 2, (height - high * scale) / 2, wide * scale, high * scale];
}

function logit(p) {
  const held = Math.min(Math.max(p, 1e-7), 1 - 1e-7);
  return Math.log(held / (1 - held));
}

export function addressOfExample(model, number) {
  return models[model].examples[number].address;
}
