// From a JPEG's coefficients to pixels, whole or at a half, a quarter or an eighth of the size,
// in the whole numbers of libjpeg: a browser then shows a network the very pixels that Python
// does, which decodes large photos smaller. Source: libjpeg-turbo's jidctint.c, jidctred.c,
// jdsample.c and jdcolor.c describe the arithmetic.

/** Fixed-point fractions of 2^13. */
const fix = (value) => Math.round(value * 8192);
const BITS = 13, EXTRA = 2; // what the first pass keeps beyond whole numbers

/** Clamp to a byte, and undo the shift of JPEG's samples. */
const toByte = (value) => Math.min(Math.max(value + 128, 0), 255);
const descale = (value, bits) => (value + (1 << (bits - 1))) >> bits;

/**
 * Draw a JPEG.
 * @param {object} jpeg From readJpeg.
 * @param {number} shrink 1, 2, 4 or 8.
 * @returns {{width: number, height: number, pixels: Uint8ClampedArray}} RGBA.
 */
export function drawJpeg(jpeg, shrink) {
  const width = Math.ceil(jpeg.width / shrink), height = Math.ceil(jpeg.height / shrink);
  const most = {
    h: Math.max(...jpeg.components.map((each) => each.h)),
    v: Math.max(...jpeg.components.map((each) => each.v)),
  };
  const planes = jpeg.components.map((each) => {
    const plane = drawPlane(each, chooseSide(each, most, 8 / shrink));
    plane.width = Math.ceil((jpeg.width * each.h * plane.side) / (8 * most.h));
    plane.height = Math.ceil((jpeg.height * each.v * plane.side) / (8 * most.v));
    return enlarge(plane, width, height, {
      across: (most.h * 8) / shrink / (each.h * plane.side),
      down: (most.v * 8) / shrink / (each.v * plane.side),
      isSmooth: shrink < 8,
    });
  });
  return { width, height, pixels: colour(planes, width, height, jpeg.colours) };
}

/** Colours that are stored smaller are shrunk less, rather than shrunk and enlarged again. */
function chooseSide(component, most, least) {
  let side = least;
  while (side < 8 && (most.h * least) % (component.h * side * 2) === 0 && (most.v * least) % (component.v * side * 2) === 0) {
    side *= 2;
  }
  return side;
}

function drawPlane(component, side) {
  const { blocks, stride, quant } = component;
  const rows = blocks.length / 64 / stride;
  const pixels = new Uint8Array(rows * side * stride * side);
  const values = new Int32Array(64), work = new Int32Array(64);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < stride; column++) {
      const from = 64 * (row * stride + column);
      for (let place = 0; place < 64; place++) values[place] = blocks[from + place] * quant[place];
      transform(side, values, work, pixels, (row * stride * side + column) * side, stride * side);
    }
  }
  return { pixels, stride: stride * side, side };
}

// Inverse cosine transforms ---------------------------------------------------------------

/** By side: the pass, the columns that it reads of a block, and what it scales by, as bits. */
const PASSES = {
  8: { pass: pass8, columns: [0, 1, 2, 3, 4, 5, 6, 7], scale: 0 },
  4: { pass: pass4, columns: [0, 1, 2, 3, 5, 6, 7], scale: 1 },
  2: { pass: pass2, columns: [0, 1, 3, 5, 7], scale: 2 },
};

function transform(side, values, work, pixels, at, stride) {
  if (side === 1) {
    pixels[at] = toByte(descale(values[0], 3));
    return;
  }
  const { pass, columns, scale } = PASSES[side];
  for (const x of columns) pass(values, x, 8, work, BITS - EXTRA + scale);
  for (let y = 0; y < side; y++) {
    pass(work, 8 * y, 1, values, BITS + EXTRA + 3 + scale);
    const to = at + y * stride;
    for (let x = 0; x < side; x++) pixels[to + x] = toByte(values[8 * y + x]);
  }
}

const [A541, A765, A1847] = [fix(0.541196100), fix(0.765366865), fix(1.847759065)];
const [A1175, A298, A2053, A3072, A1501] = [1.175875602, 0.298631336, 2.053119869, 3.072711026, 1.501321110].map(fix);
const [A899, A2562, A1961, A390] = [0.899976223, 2.562915447, 1.961570560, 0.390180644].map(fix);

/** Transform the eight values at `at`, `at + step` and so on, and put eight there in `out`. */
function pass8(given, at, step, out, bits) {
  const c1 = given[at + step], c2 = given[at + 2 * step], c3 = given[at + 3 * step];
  const c5 = given[at + 5 * step], c6 = given[at + 6 * step], c7 = given[at + 7 * step];
  const even = (c2 + c6) * A541;
  const t2 = even - c6 * A1847, t3 = even + c2 * A765;
  const t0 = (given[at] + given[at + 4 * step]) << BITS, t1 = (given[at] - given[at + 4 * step]) << BITS;
  const e0 = t0 + t3, e1 = t1 + t2, e2 = t1 - t2, e3 = t0 - t3;
  const z5 = (c7 + c3 + c5 + c1) * A1175;
  const z1 = -(c7 + c1) * A899, z2 = -(c5 + c3) * A2562;
  const z3 = z5 - (c7 + c3) * A1961, z4 = z5 - (c5 + c1) * A390;
  const o0 = c7 * A298 + z1 + z3, o1 = c5 * A2053 + z2 + z4;
  const o2 = c3 * A3072 + z2 + z3, o3 = c1 * A1501 + z1 + z4;
  out[at] = descale(e0 + o3, bits);
  out[at + step] = descale(e1 + o2, bits);
  out[at + 2 * step] = descale(e2 + o1, bits);
  out[at + 3 * step] = descale(e3 + o0, bits);
  out[at + 4 * step] = descale(e3 - o0, bits);
  out[at + 5 * step] = descale(e2 - o1, bits);
  out[at + 6 * step] = descale(e1 - o2, bits);
  out[at + 7 * step] = descale(e0 - o3, bits);
}

const [B211, B1451, B2172, B1061] = [0.211164243, 1.451774981, 2.172734803, 1.061594337].map(fix);
const [B509, B601] = [0.509795579, 0.601344887].map(fix);

/** As `pass8`, from eight values, of which the fifth says nothing, to four. */
function pass4(given, at, step, out, bits) {
  const c1 = given[at + step], c3 = given[at + 3 * step], c5 = given[at + 5 * step], c7 = given[at + 7 * step];
  const mean = given[at] << (BITS + 1);
  const even = given[at + 2 * step] * A1847 - given[at + 6 * step] * A765;
  const near = -c7 * B211 + c5 * B1451 - c3 * B2172 + c1 * B1061;
  const far = -c7 * B509 - c5 * B601 + c3 * A899 + c1 * A2562;
  out[at] = descale(mean + even + far, bits);
  out[at + step] = descale(mean - even + near, bits);
  out[at + 2 * step] = descale(mean - even - near, bits);
  out[at + 3 * step] = descale(mean + even - far, bits);
}

const [C720, C850, C1272, C3624] = [0.720959822, 0.850430095, 1.272758580, 3.624509785].map(fix);

/** As `pass8`, from the mean and the four odd values to two. */
function pass2(given, at, step, out, bits) {
  const mean = given[at] << (BITS + 2);
  const odd = given[at + step] * C3624 - given[at + 3 * step] * C1272 + given[at + 5 * step] * C850 - given[at + 7 * step] * C720;
  out[at] = descale(mean + odd, bits);
  out[at + step] = descale(mean - odd, bits);
}

// Colours that are stored at half the size --------------------------------------------------

/** Bring a plane to the size of the picture: by a triangle filter where it has half of it. */
function enlarge(plane, width, height, { across, down, isSmooth }) {
  if (across === 1 && down === 1) return plane;
  const large = { pixels: new Uint8Array(width * height), stride: width };
  const isWide = isSmooth && across === 2 && plane.width > 2;
  if (isWide && down === 1) smooth(plane, large, height, (y) => [y, y], [1, 0, 1, 2, 2]);
  else if (isWide && down === 2) smooth(plane, large, height, (y) => beside(y, plane.height), [3, 1, 8, 7, 4]);
  else if (isSmooth && across === 1 && down === 2) smoothRows(plane, large, height);
  else {
    for (let y = 0; y < height; y++) {
      const from = Math.floor(y / down) * plane.stride;
      for (let x = 0; x < width; x++) large.pixels[y * width + x] = plane.pixels[from + Math.floor(x / across)];
    }
  }
  return large;
}

/** The row that a row of twice as many lies in, and the one that it is nearest to. */
function beside(y, rows) {
  const own = y >> 1;
  return [own, Math.min(Math.max(own + (y & 1 ? 1 : -1), 0), rows - 1)];
}

/** Enlarge across by 2, of each pair of rows weighed `[near, far]`; rounded as libjpeg does. */
function smooth(plane, large, height, choose, [near, far, roundLeft, roundRight, bits]) {
  const { pixels } = plane;
  const last = plane.width - 1;
  for (let y = 0; y < height; y++) {
    const [one, two] = choose(y).map((row) => row * plane.stride);
    const sum = (x) => near * pixels[one + x] + far * pixels[two + x];
    for (let x = 0; x < large.stride; x++) {
      const own = x >> 1, isLeft = (x & 1) === 0;
      const other = isLeft ? own - 1 : own + 1;
      const mean = other < 0 || other > last ? 4 * sum(own) : 3 * sum(own) + sum(other);
      large.pixels[y * large.stride + x] = (mean + (isLeft ? roundLeft : roundRight)) >> bits;
    }
  }
}

function smoothRows(plane, large, height) {
  for (let y = 0; y < height; y++) {
    const [one, two] = beside(y, plane.height).map((row) => row * plane.stride);
    for (let x = 0; x < large.stride; x++) {
      large.pixels[y * large.stride + x] = (3 * plane.pixels[one + x] + plane.pixels[two + x] + (y & 1 ? 2 : 1)) >> 2;
    }
  }
}

function colour(planes, width, height, colours) {
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  const [first, second, third] = planes.length === 1 ? [planes[0], planes[0], planes[0]] : planes;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = 4 * (y * width + x);
      const a = first.pixels[y * first.stride + x];
      if (colours === "ycc") {
        const blue = second.pixels[y * second.stride + x] - 128, red = third.pixels[y * third.stride + x] - 128;
        pixels[to] = a + ((91881 * red + 32768) >> 16);
        pixels[to + 1] = a + ((-22554 * blue - 46802 * red + 32768) >> 16);
        pixels[to + 2] = a + ((116130 * blue + 32768) >> 16);
      } else {
        pixels[to] = a;
        pixels[to + 1] = second.pixels[y * second.stride + x];
        pixels[to + 2] = third.pixels[y * third.stride + x];
      }
    }
  }
  return pixels;
}
