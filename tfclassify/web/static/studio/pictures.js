// The images themselves: fetched ahead, decoded before they are shown, a few kept behind.

const AHEAD = 6;
const BEHIND = 4;

/** Loads images of one size class and keeps those around the one that is shown. */
export class Pictures {
  /** @param {number} side Longest side to ask for. */
  constructor(side) {
    this.side = side;
    this.kept = new Map();
  }

  /**
   * Load an image, unless it is there.
   * @param {number} place
   * @returns {Promise<{image: HTMLImageElement, fault: string}>} Decoded; or why it cannot be.
   */
  load(place) {
    if (!this.kept.has(place)) this.kept.set(place, this.#fetch(place));
    return this.kept.get(place);
  }

  /** Load what comes next, and let go of what is far away. */
  follow(places, at) {
    const wanted = new Set(places.slice(Math.max(0, at - BEHIND), at + AHEAD + 1));
    for (const place of places.slice(at, at + AHEAD + 1)) this.load(place);
    for (const [place, loading] of this.kept) {
      if (wanted.has(place)) continue;
      this.kept.delete(place);
      loading.then(({ image }) => URL.revokeObjectURL(image.src));
    }
  }

  async #fetch(place) {
    const image = new Image();
    try {
      const answer = await fetch(`/image/${place}/${this.side}`);
      if (!answer.ok) return this.#fail(place, image, (await answer.json()).error);
      const fault = decodeURIComponent(answer.headers.get("x-fault") ?? "");
      if (fault) return this.#fail(place, image, fault);
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode();
      return { image, fault: "" };
    } catch {
      return this.#fail(place, image, "it could not be loaded; is tfclassify still running?");
    }
  }

  /** A fault may be mended meanwhile, so it is asked for again the next time. */
  #fail(place, image, fault) {
    this.kept.delete(place);
    return { image, fault };
  }
}

/** Zoom, place and brightness of the image on the stage, by keys, wheel and fingers. */
export class Look {
  constructor(stage) {
    this.stage = stage;
    this.fingers = new Map();
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && this.zoom === 1) return;
      event.preventDefault();
      this.scale(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => this.#touch(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => this.#leave(event));
    }
    this.onswipe = () => {};
    this.reset();
  }

  reset() {
    Object.assign(this, { zoom: 1, left: 0, top: 0, light: 1 });
    this.draw();
  }

  scale(factor) {
    this.zoom = Math.min(16, Math.max(1, this.zoom * factor));
    if (this.zoom < 1.01) Object.assign(this, { zoom: 1, left: 0, top: 0 });
    this.draw();
  }

  lighten(factor) {
    this.light = Math.min(8, Math.max(0.125, this.light * factor));
    this.draw();
  }

  draw() {
    const image = this.stage.querySelector("img");
    this.stage.classList.toggle("close", this.zoom > 1);
    if (!image) return;
    image.style.transform = this.zoom === 1
      ? "" : `translate(${this.left}px, ${this.top}px) scale(${this.zoom})`;
    image.style.filter = this.light === 1 ? "" : `brightness(${this.light})`;
  }

  #touch(event) {
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.start = { x: event.clientX, y: event.clientY, spread: this.#spread(), zoom: this.zoom };
    if (this.zoom > 1) this.stage.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.fingers.size === 2 && this.start.spread) {
      this.zoom = Math.min(16, Math.max(1, this.start.zoom * this.#spread() / this.start.spread));
    } else if (this.zoom > 1) {
      this.left += event.clientX - before.x;
      this.top += event.clientY - before.y;
    }
    this.draw();
  }

  #leave(event) {
    const wasOne = this.fingers.size === 1;
    this.fingers.delete(event.pointerId);
    if (!wasOne || this.zoom > 1 || event.type !== "pointerup" || !this.start) return;
    const across = event.clientX - this.start.x;
    if (Math.abs(across) > 60 && Math.abs(event.clientY - this.start.y) < 60) {
      this.onswipe(across < 0 ? 1 : -1);
    }
  }

  #spread() {
    const [one, other] = this.fingers.values();
    return other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;
  }
}
