// How many frames a page asks for ahead of the last it has seen: many while they come and are drawn on time, few when
// they pile up anywhere on the way. Functions of numbers; no DOM here.

/** A second and a half of frames, at thirty a second. */
const MOST = 45;
const FEWEST = 2;
/** A frame that comes this much later than the fastest did has waited somewhere. */
const LATE_MS = 200;
/** Milliseconds of drawing to ask for at once. */
const BUSY_MS = 900;

export class Credit {
  constructor() {
    this._ahead = MOST;
    this._fastest = Infinity;
    this._late = false;
    this._cost = 0;
    this.seen = 0;
  }

  /** A frame has come; `nowMs` is the page's clock, `sentMs` the kernel's, which may differ. */
  arrived(frame, sentMs, nowMs) {
    this.seen = Math.max(this.seen, frame);
    if (sentMs !== null) {
      const way = nowMs - sentMs;
      this._fastest = Math.min(this._fastest, way);
      this._late = way - this._fastest > LATE_MS;
    }
  }

  /** Reading and drawing a frame took this long. */
  spent(ms) {
    this._cost = this._cost === 0 ? ms : 0.8 * this._cost + 0.2 * ms;
  }

  /** Up to which frame the kernel may send; asked once a beat. */
  until(most = MOST) {
    this._ahead = this._late ? Math.max(FEWEST, Math.floor(this._ahead / 2)) : Math.min(MOST, this._ahead + 5);
    const drawn = Math.max(FEWEST, Math.floor(BUSY_MS / Math.max(this._cost, 1)));
    return this.seen + Math.min(most, this._ahead, drawn);
  }
}
