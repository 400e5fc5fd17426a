// Photos as the toolkit reads them: upright, RGB, on white, resized by a triangle filter in
// whole numbers as Pillow does, so that a model is shown the same pixels in a browser. JPEGs are
// decoded here (jpeg.js), large ones at a reduced size as Python does; the rest by the browser.
import { isJpeg, readJpeg, Unsupported } from "./jpeg.js";
import { drawJpeg } from "./jpeg_pixels.js";

const BITS = 22;

/**
 * Say which part of an image is shown, and at which size.
 * @param {number} width Of the image.
 * @param {number} height Of the image.
 * @param {number[]} wanted `[height, width]` that the model takes.
 * @param {string} resize stretch, crop or letterbox.
 */
export function placeImage(width, height, wanted, resize) {
  const [high, wide] = wanted;
  const ratios = [wide / width, high / height];
  if (resize === "crop") {
    const most = Math.max(...ratios);
    const kept = [wide / most, high / most];
    const left = Math.max((width - kept[0]) / 2, 0);
    const top = Math.max((height - kept[1]) / 2, 0);
    const start = [(width - kept[0]) / 2, (height - kept[1]) / 2];
    const box = [left, top, Math.min(start[0] + kept[0], width), Math.min(start[1] + kept[1], height)];
    return { box, inner: [wide, high] };
  }
  if (resize === "letterbox") {
    const scale = Math.min(...ratios);
    const inner = [Math.max(1, roundEven(width * scale)), Math.max(1, roundEven(height * scale))];
    return { box: [0, 0, width, height], inner };
  }
  return { box: [0, 0, width, height], inner: [wide, high] };
}

/** Round as Python does: halves go to the even neighbour. */
function roundEven(value) {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/** Weights of the source pixels of each target pixel, as whole numbers of 2^-22. */
function weigh(size, start, end, target) {
  const from = Math.fround(start); // Pillow takes the box in 32 bits
  const scale = Math.fround(Math.fround(end) - from) / target;
  const spread = Math.max(scale, 1);
  const parts = [];
  for (let place = 0; place < target; place++) {
    const center = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - spread + 0.5));
    const last = Math.min(size, Math.trunc(center + spread + 0.5));
    const weights = [];
    for (let x = first; x < last; x++) {
      weights.push(Math.max(0, 1 - Math.abs((x - center + 0.5) / spread)));
    }
    const sum = weights.reduce((a, b) => a + b, 0);
    parts.push({ first, weights: weights.map((w) => Math.trunc(0.5 + (w / sum) * 2 ** BITS)) });
  }
  return parts;
}

/**
 * Resize RGBA pixels to RGB.
 * @param {Uint8ClampedArray} pixels RGBA, row by row.
 * @param {number} width Of them.
 * @param {number} height Of them.
 * @param {number[]} box `[left, top, right, bottom]` that is shown.
 * @param {number[]} inner `[width, height]` of the result.
 * @returns {Uint8Array} RGB, row by row.
 */
export function resample(pixels, width, height, box, inner) {
  const [wide, high] = inner;
  const across = weigh(width, box[0], box[2], wide);
  const down = weigh(height, box[1], box[3], high);
  const half = 2 ** (BITS - 1);
  const whole = 2 ** BITS;
  const rows = new Uint8ClampedArray(height * wide * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < wide; x++) {
      const { first, weights } = across[x];
      let red = half, green = half, blue = half;
      for (let k = 0; k < weights.length; k++) {
        const from = 4 * (y * width + first + k);
        red += pixels[from] * weights[k];
        green += pixels[from + 1] * weights[k];
        blue += pixels[from + 2] * weights[k];
      }
      const to = 3 * (y * wide + x);
      rows[to] = Math.floor(red / whole);
      rows[to + 1] = Math.floor(green / whole);
      rows[to + 2] = Math.floor(blue / whole);
    }
  }
  const answer = new Uint8ClampedArray(high * wide * 3);
  for (let y = 0; y < high; y++) {
    const { first, weights } = down[y];
    for (let each = 0; each < 3 * wide; each++) {
      let sum = half;
      for (let k = 0; k < weights.length; k++) sum += rows[3 * wide * (first + k) + each] * weights[k];
      answer[3 * wide * y + each] = Math.floor(sum / whole);
    }
  }
  return new Uint8Array(answer.buffer);
}

/** A resize that starts from this many times the wanted size may start from a smaller decode. */
const MARGIN = 2;

/** Say by how much a JPEG is shrunk as it is decoded: Python's rule, which is Pillow's. */
export function chooseShrink(width, height, { box, inner }) {
  const least = [
    Math.max(1, roundEven((MARGIN * inner[0] * width) / (box[2] - box[0]))),
    Math.max(1, roundEven((MARGIN * inner[1] * height) / (box[3] - box[1]))),
  ];
  const scale = Math.min(Math.floor(width / least[0]), Math.floor(height / least[1]));
  return [8, 4, 2].find((side) => scale >= side) ?? 1;
}

/** For each orientation of EXIF: the source's `[row, column]` of an upright pixel. */
const TURNS = {
  2: (y, x, high, wide) => [y, wide - 1 - x],
  3: (y, x, high, wide) => [high - 1 - y, wide - 1 - x],
  4: (y, x, high) => [high - 1 - y, x],
  5: (y, x) => [x, y],
  6: (y, x, high) => [high - 1 - x, y],
  7: (y, x, high, wide) => [high - 1 - x, wide - 1 - y],
  8: (y, x, high, wide) => [x, wide - 1 - y],
};

/** Turn RGB pixels upright. */
function makeUpright(pixels, [wide, high], orientation) {
  const turn = TURNS[orientation];
  if (!turn) return { pixels, inner: [wide, high] };
  const inner = orientation >= 5 ? [high, wide] : [wide, high];
  const turned = new Uint8Array(pixels.length);
  for (let y = 0; y < inner[1]; y++) {
    for (let x = 0; x < inner[0]; x++) {
      const [row, column] = turn(y, x, high, wide);
      const from = 3 * (row * wide + column);
      turned.set(pixels.subarray(from, from + 3), 3 * (y * inner[0] + x));
    }
  }
  return { pixels: turned, inner };
}

/** Read a JPEG at the size that a model takes; null where it is left to the browser. */
function shrinkJpeg(bytes, model) {
  let jpeg;
  try {
    jpeg = readJpeg(bytes, model.max_pixels);
  } catch (error) {
    if (error instanceof Unsupported) return null;
    throw error;
  }
  const { width, height, orientation } = jpeg;
  const isTurned = orientation >= 5;
  const place = placeImage(width, height, isTurned ? model.size.toReversed() : model.size, model.resize);
  const shrink = chooseShrink(width, height, place);
  const drawn = drawJpeg(jpeg, shrink);
  const ratio = width / (width / shrink); // as Python works it out
  const box = place.box.map((edge) => edge / ratio);
  const small = resample(drawn.pixels, drawn.width, drawn.height, box, place.inner);
  const size = isTurned ? [height, width] : [width, height];
  return { ...makeUpright(small, place.inner, orientation), width: size[0], height: size[1] };
}

/** Read any other image at the size that a model takes. */
async function shrinkOther(photo, model) {
  let image;
  try {
    image = await createImageBitmap(photo, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("this browser cannot read it as an image");
  }
  const { width, height } = image;
  if (width * height > model.max_pixels) {
    throw new Error(`has ${width * height} pixels, at most ${model.max_pixels} are read`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  drawing.fillStyle = "white";
  drawing.fillRect(0, 0, width, height);
  drawing.drawImage(image, 0, 0);
  image.close();
  const given = drawing.getImageData(0, 0, width, height).data;
  const { box, inner } = placeImage(width, height, model.size, model.resize);
  return { pixels: resample(given, width, height, box, inner), inner, width, height };
}

/**
 * Read a photo as a model is shown it.
 * @param {Blob} photo A file.
 * @param {{size: number[], resize: string, max_pixels: number}} model What it takes.
 * @returns {Promise<{pixels: Float32Array, width: number, height: number}>} Pixels 0..255 of
 *   `(size[0], size[1], 3)`, and the photo's own size.
 */
export async function readPhoto(photo, model) {
  const bytes = new Uint8Array(await photo.arrayBuffer());
  const found = (isJpeg(bytes) && shrinkJpeg(bytes, model)) || (await shrinkOther(photo, model));
  const { pixels: small, inner, width, height } = found;
  const [high, wide] = model.size;
  const pixels = new Float32Array(high * wide * 3);
  const top = Math.floor((high - inner[1]) / 2);
  const left = Math.floor((wide - inner[0]) / 2);
  for (let y = 0; y < inner[1]; y++) {
    const row = small.subarray(3 * inner[0] * y, 3 * inner[0] * (y + 1));
    pixels.set(row, 3 * ((top + y) * wide + left));
  }
  return { pixels, width, height };
}
