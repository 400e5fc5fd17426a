// JPEG files down to their coefficients: markers, Huffman codes, scans, the EXIF orientation.
// Baseline and progressive, grey and three colours, 8 bits. What else there is (arithmetic
// codes, CMYK, 12 bits) is `Unsupported`, and left to the browser. How coefficients become
// pixels is in jpeg_pixels.js. Source: ITU-T T.81.

/** A JPEG of a kind that is not read here, or a damaged one. */
export class Unsupported extends Error {}

const ZIGZAG = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
const START = 0xd8, END = 0xd9, SCAN = 0xda, TABLES = 0xdb, CODES = 0xc4, INTERVAL = 0xdd;
const JFIF = 0xe0, APP1 = 0xe1, ADOBE = 0xee;
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);
const OTHER_FRAMES = new Set([0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf]);

/** Say whether bytes begin as a JPEG does. */
export function isJpeg(bytes) {
  return bytes[0] === 0xff && bytes[1] === START && bytes[2] === 0xff;
}

/**
 * Read a JPEG.
 * @param {Uint8Array} bytes The file.
 * @param {number} mostPixels More are refused before anything is decoded.
 * @returns {{width: number, height: number, orientation: number, colours: string,
 *   components: object[]}} As stored; `colours` is grey, ycc or rgb.
 */
export function readJpeg(bytes, mostPixels) {
  return new Reader(bytes, mostPixels).read();
}

class Reader {
  constructor(bytes, mostPixels) {
    Object.assign(this, { bytes, mostPixels, at: 2, quants: [], codes: new Map(), interval: 0, frame: null });
    Object.assign(this, { exif: null, xmp: null, isJfif: false, adobe: null });
  }

  read() {
    for (;;) {
      const marker = this.findMarker();
      if (marker === END) break;
      const length = this.word(this.at);
      const part = this.bytes.subarray(this.at + 2, this.at + length);
      if (length < 2 || part.length !== length - 2) throw new Error("is truncated");
      this.at += length;
      if (FRAMES.has(marker)) this.readFrame(part, marker === 0xc2);
      else if (OTHER_FRAMES.has(marker)) throw new Unsupported(`frame ${marker}`);
      else if (marker === TABLES) this.readTables(part);
      else if (marker === CODES) this.readCodes(part);
      else if (marker === INTERVAL) this.interval = 256 * part[0] + part[1];
      else if (marker === SCAN) this.readScan(part);
      else this.readRemark(marker, part);
    }
    if (!this.frame) throw new Unsupported("no frame");
    const { width, height, components } = this.frame;
    return { width, height, components, orientation: this.findOrientation(), colours: this.nameColours() };
  }

  word(at) {
    return 256 * this.bytes[at] + this.bytes[at + 1];
  }

  findMarker() {
    const { bytes } = this;
    while (this.at < bytes.length && bytes[this.at] !== 0xff) this.at++;
    while (bytes[this.at] === 0xff) this.at++;
    if (this.at >= bytes.length) throw new Error("is truncated");
    return bytes[this.at++];
  }

  readRemark(marker, part) {
    const starts = (text) => [...text].every((sign, place) => part[place] === sign.charCodeAt(0));
    if (marker === JFIF && starts("JFIF\0")) this.isJfif = true;
    else if (marker === ADOBE && starts("Adobe") && part.length >= 12) this.adobe = part[11];
    else if (marker === APP1 && starts("Exif\0\0")) this.exif ??= part.subarray(6);
    else if (marker === APP1 && starts("http://ns.adobe.com/xap/1.0/\0")) this.xmp ??= part;
  }

  readFrame(part, isProgressive) {
    const [height, width] = [256 * part[1] + part[2], 256 * part[3] + part[4]];
    const count = part[5];
    if (this.frame || part[0] !== 8 || !width || !height || (count !== 1 && count !== 3)) throw new Unsupported("frame");
    if (width * height > this.mostPixels) {
      throw new Error(`has ${width * height} pixels, at most ${this.mostPixels} are read`);
    }
    const components = [];
    for (let number = 0; number < count; number++) {
      const [id, sampling, table] = part.subarray(6 + 3 * number, 9 + 3 * number);
      components.push({ id, h: sampling >> 4, v: sampling & 15, table });
    }
    const most = { h: Math.max(...components.map((c) => c.h)), v: Math.max(...components.map((c) => c.v)) };
    const across = Math.ceil(width / (8 * most.h)), down = Math.ceil(height / (8 * most.v));
    for (const each of components) {
      if (!each.h || !each.v || most.h % each.h || most.v % each.v) throw new Unsupported("sampling");
      each.wide = Math.ceil((width * each.h) / (8 * most.h)); // blocks that show anything
      each.high = Math.ceil((height * each.v) / (8 * most.v));
      each.stride = across * each.h; // blocks that are stored
      each.blocks = new Int16Array(64 * each.stride * down * each.v);
    }
    this.frame = { width, height, components, most, across, down, isProgressive };
  }

  readTables(part) {
    for (let at = 0; at < part.length;) {
      const isWide = part[at] >> 4, place = part[at++] & 15;
      const table = new Uint16Array(64);
      for (const target of ZIGZAG) {
        table[target] = isWide ? 256 * part[at++] + part[at++] : part[at++];
      }
      this.quants[place] = table;
    }
  }

  readCodes(part) {
    for (let at = 0; at < part.length;) {
      const place = part[at];
      const counts = part.subarray(at + 1, at + 17);
      const symbols = counts.reduce((a, b) => a + b, 0);
      this.codes.set(place, spreadCodes(counts, part.subarray(at + 17, at + 17 + symbols)));
      at += 17 + symbols;
    }
  }

  readScan(part) {
    if (!this.frame) throw new Unsupported("scan without a frame");
    const chosen = [];
    for (let number = 0; number < part[0]; number++) {
      const component = this.frame.components.find((each) => each.id === part[1 + 2 * number]);
      const tables = part[2 + 2 * number];
      if (!component) throw new Unsupported("component");
      component.quant ??= this.quants[component.table]; // as it is at its first scan
      if (!component.quant) throw new Unsupported("no quantisation table");
      chosen.push({ component, dc: this.codes.get(tables >> 4), ac: this.codes.get(16 | (tables & 15)), last: 0 });
    }
    const [first, end, bits] = part.subarray(1 + 2 * part[0]);
    const scan = new Scan(this.bytes, this.at, chosen, { first, end, high: bits >> 4, low: bits & 15 });
    this.at = scan.decode(this.frame, this.interval);
  }

  nameColours() {
    const ids = this.frame.components.map((each) => each.id);
    if (ids.length === 1) return "grey";
    if (this.isJfif) return "ycc";
    if (this.adobe !== null) return this.adobe === 0 ? "rgb" : "ycc";
    return String.fromCharCode(...ids) === "RGB" ? "rgb" : "ycc";
  }

  /** EXIF's word, else XMP's; 1, which is upright, where neither can be read. */
  findOrientation() {
    let value = readExif(this.exif);
    if (value === null && this.xmp) {
      const found = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(this.xmp));
      value = found && Number(found[1]);
    }
    return value >= 1 && value <= 8 ? value : 1;
  }
}

function readExif(block) {
  if (!block || block.length < 8) return null;
  const isLittle = block[0] === 0x49;
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const heads = [0x49492a00, 0x4d4d002a];
  if (!heads.includes(view.getUint32(0))) return null;
  try {
    const start = view.getUint32(4, isLittle);
    const count = view.getUint16(start, isLittle);
    for (let at = start + 2; at < start + 2 + 12 * count; at += 12) {
      if (view.getUint16(at, isLittle) !== 0x0112) continue;
      const kind = view.getUint16(at + 2, isLittle);
      if (kind === 3 || kind === 8) return view.getUint16(at + 8, isLittle);
      if (kind === 4 || kind === 9) return view.getUint32(at + 8, isLittle);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the block ends early
  }
  return null;
}

/** Lay Huffman codes out, so that the next 16 bits name `length << 8 | symbol`; 0 is no code. */
function spreadCodes(counts, symbols) {
  const spread = new Uint16Array(1 << 16);
  let code = 0, place = 0;
  for (let length = 1; length <= 16; length++) {
    for (let number = 0; number < counts[length - 1]; number++, code++) {
      const from = code << (16 - length);
      spread.fill((length << 8) | symbols[place++], from, from + (1 << (16 - length)));
    }
    code <<= 1;
  }
  return spread;
}

/** One scan: its bits, and the coefficients that they add. */
class Scan {
  constructor(bytes, at, chosen, range) {
    Object.assign(this, { bytes, at, chosen, range });
    Object.assign(this, { held: 0, count: 0, beyond: 0, isEnded: false, run: 0 });
  }

  /** Decode into the components' blocks; returns where the next marker is. */
  decode(frame, interval) {
    const decodeBlock = this.choose(frame.isProgressive);
    const [alone] = this.chosen;
    const isAlone = this.chosen.length === 1;
    const across = isAlone ? alone.component.wide : frame.across;
    const total = across * (isAlone ? alone.component.high : frame.down);
    for (let unit = 0; unit < total; unit++) {
      if (interval && unit && unit % interval === 0) this.restart();
      const row = Math.floor(unit / across), column = unit % across;
      if (isAlone) {
        decodeBlock(alone, alone.component.blocks, 64 * (row * alone.component.stride + column));
        continue;
      }
      for (const part of this.chosen) {
        const { h, v, stride, blocks } = part.component;
        for (let y = row * v; y < (row + 1) * v; y++) {
          for (let x = column * h; x < (column + 1) * h; x++) decodeBlock(part, blocks, 64 * (y * stride + x));
        }
      }
    }
    return this.at;
  }

  choose(isProgressive) {
    const { first, high } = this.range;
    if (!isProgressive) return (...given) => this.decodeWhole(...given);
    if (first === 0) return high ? (...given) => this.refineMean(...given) : (...given) => this.decodeMean(...given);
    return high ? (...given) => this.refineRest(...given) : (...given) => this.decodeRest(...given);
  }

  fill() {
    const { bytes } = this;
    while (this.count <= 24) {
      let byte = 0;
      if (this.isEnded) this.beyond += 8;
      else if (this.at >= bytes.length) {
        this.beyond += 8;
        if (this.beyond > 64) throw new Error("is truncated");
      } else if (bytes[this.at] !== 0xff) byte = bytes[this.at++];
      else if (bytes[this.at + 1] === 0) {
        byte = 0xff;
        this.at += 2;
      } else if (bytes[this.at + 1] === 0xff) {
        this.at++; // a fill byte
        continue;
      } else {
        this.isEnded = this.at + 1 < bytes.length; // a marker: libjpeg reads noughts from here on
        if (!this.isEnded) this.at = bytes.length;
        continue;
      }
      this.held = (this.held << 8) | byte;
      this.count += 8;
    }
  }

  take(bits) {
    if (this.count < bits) this.fill();
    this.count -= bits;
    return (this.held >>> this.count) & ((1 << bits) - 1);
  }

  /** Take a number that is stored without its sign's bit. */
  takeSigned(bits) {
    if (bits === 0) return 0;
    const value = this.take(bits);
    return value < 1 << (bits - 1) ? value - (1 << bits) + 1 : value;
  }

  symbol(codes) {
    if (this.count < 16) this.fill();
    const found = codes[(this.held >>> (this.count - 16)) & 0xffff];
    if (!found) throw new Unsupported("a code that is none");
    this.count -= found >> 8;
    return found & 255;
  }

  restart() {
    this.held = this.count = this.beyond = this.run = 0;
    this.isEnded = false;
    while (this.bytes[this.at] === 0xff && this.bytes[this.at + 1] === 0xff) this.at++;
    const marker = this.bytes[this.at + 1];
    if (this.bytes[this.at] !== 0xff || marker < 0xd0 || marker > 0xd7) throw new Unsupported("no restart");
    this.at += 2;
    for (const part of this.chosen) part.last = 0;
  }

  decodeWhole(part, blocks, start) {
    part.last += this.takeSigned(this.symbol(part.dc));
    blocks[start] = part.last;
    for (let place = 1; place < 64; place++) {
      const found = this.symbol(part.ac);
      const size = found & 15;
      if (size === 0 && found !== 0xf0) return;
      place += found >> 4;
      if (size && place < 64) blocks[start + ZIGZAG[place]] = this.takeSigned(size);
    }
  }

  decodeMean(part, blocks, start) {
    part.last += this.takeSigned(this.symbol(part.dc));
    blocks[start] = part.last << this.range.low;
  }

  refineMean(part, blocks, start) {
    if (this.take(1)) blocks[start] |= 1 << this.range.low;
  }

  decodeRest(part, blocks, start) {
    if (this.run > 0) {
      this.run--;
      return;
    }
    const { first, end, low } = this.range;
    for (let place = first; place <= end; place++) {
      const found = this.symbol(part.ac);
      const skip = found >> 4, size = found & 15;
      if (size === 0 && skip < 15) {
        this.run = (1 << skip) - 1 + (skip ? this.take(skip) : 0);
        return;
      }
      place += skip;
      if (size && place < 64) blocks[start + ZIGZAG[place]] = this.takeSigned(size) * (1 << low);
    }
  }

  refineRest(part, blocks, start) {
    const { first, end, low } = this.range;
    const step = 1 << low;
    const refine = (at) => {
      if (this.take(1) && (blocks[at] & step) === 0) blocks[at] += blocks[at] >= 0 ? step : -step;
    };
    let place = first;
    for (; this.run === 0 && place <= end; place++) {
      const found = this.symbol(part.ac);
      let skip = found >> 4, value = 0;
      if (found & 15) value = this.take(1) ? step : -step;
      else if (skip < 15) {
        this.run = (1 << skip) + (skip ? this.take(skip) : 0);
        break;
      }
      for (; place <= end; place++) {
        const at = start + ZIGZAG[place];
        if (blocks[at] !== 0) refine(at);
        else if (--skip < 0) break;
      }
      if (value && place <= end) blocks[start + ZIGZAG[place]] = value;
    }
    if (this.run === 0) return;
    for (; place <= end; place++) {
      if (blocks[start + ZIGZAG[place]] !== 0) refine(start + ZIGZAG[place]);
    }
    this.run--;
  }
}
