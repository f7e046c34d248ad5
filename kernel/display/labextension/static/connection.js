// One view's line to the kernel: a comm that is opened when there is a kernel and someone looks, dropped when the
// kernel goes, and opened again when it is back. Gives credit about once a second. Knows nothing of what is drawn.

import { TARGET, VERSION, readMessage } from './protocol.js';

/** Frames that may be under way beyond the last one seen: a second and a half at thirty a second. */
const AHEAD = 45;
/** A view off the screen is kept fresh at a few frames a second, so that scrolling to it shows what is. */
const AHEAD_ASIDE = 8;
/** The share of a beat that drawing may take; a page that draws slowly asks for fewer frames. */
const BUSY_MS = 600;
const BEAT_MS = 1000;
const SNAPSHOT_MS = 8000;
const SNAPSHOT_ASIDE_MS = 20_000;
const FIRST_SNAPSHOT_MS = 2000;

/** How much anybody looks at a view: not at all, it is off the screen, it is on it. */
export const NONE = 0;
export const ASIDE = 1;
export const FULL = 2;

export class Connection {
  /** `listener` hears `message(checked)`, `attached()` and `detached(reason)`. */
  constructor(sessionContext) {
    this._context = sessionContext;
    this._comm = null;
    this._kernel = null;
    this._attention = NONE;
    this._over = null;
    this._seen = 0;
    this._cost = 0;
    this._lastSnapshot = 0;
    this._beat = null;
    this._check = () => this._settle();
  }

  start(view, listener) {
    this._view = view;
    this._listener = listener;
    this._context.kernelChanged.connect(this._check);
    this._context.connectionStatusChanged.connect(this._check);
    this._context.statusChanged.connect(this._check);
    this._settle();
  }

  /** Says how much anybody looks: `NONE`, `ASIDE` or `FULL`. */
  setAttention(attention) {
    const more = attention > this._attention;
    this._attention = attention;
    if (more) {
      this._settle();
      this._tick();
    }
  }

  /** What reading and drawing a frame took; slow ones count at once and are forgotten slowly. */
  spent(ms) {
    const cost = ms + (this._reading ?? 0);
    this._cost = Math.max(0.8 * this._cost, 0.5 * this._cost + 0.5 * cost);
  }

  /** Whether a comm is open. */
  get attached() {
    return this._comm !== null;
  }

  say(message) {
    // A comm of a kernel that has just gone throws; the signals that follow drop it.
    try {
      this._comm?.send(message);
    } catch {
      this._drop('gone');
    }
  }

  dispose() {
    this._context.kernelChanged.disconnect(this._check);
    this._context.connectionStatusChanged.disconnect(this._check);
    this._context.statusChanged.disconnect(this._check);
    const comm = this._comm;
    this._drop(null);
    if (comm && !comm.isDisposed) {
      try {
        comm.close();
      } catch {
        // The kernel is gone; so is the comm.
      }
    }
  }

  _settle() {
    const kernel = this._context.session?.kernel ?? null;
    const connected =
      kernel && kernel.connectionStatus === 'connected' && !['dead', 'restarting', 'autorestarting', 'terminating'].includes(kernel.status);
    if (this._comm && (!connected || kernel !== this._kernel)) {
      this._drop('gone');
    }
    if (!connected) {
      // A restarted kernel may be the same object: what the last one said of this view no longer counts.
      this._over = null;
      if (!kernel || kernel.status === 'dead') {
        this._listener.detached('none');
      }
      return;
    }
    if (!this._comm && this._attention > NONE && this._over !== kernel) {
      this._open(kernel);
    }
  }

  _open(kernel) {
    const comm = kernel.createComm(TARGET);
    comm.onMsg = message => {
      if (comm === this._comm) {
        const start = performance.now();
        this._hear(readMessage(message.content.data, message.buffers ?? []));
        this._reading = performance.now() - start;
      }
    };
    comm.onClose = message => {
      if (comm === this._comm) {
        const reason = message.content.data?.reason;
        // A quiet page was let go and may come back; a view the kernel does not know will not become known.
        this._over = reason === 'quiet' ? null : kernel;
        this._drop(reason === 'quiet' ? 'quiet' : 'unknown', String(message.content.data?.text ?? ''));
      }
    };
    this._comm = comm;
    this._kernel = kernel;
    this._seen = 0;
    this._lastSnapshot = Date.now() - SNAPSHOT_ASIDE_MS + FIRST_SNAPSHOT_MS;
    comm.open({ version: VERSION, view: this._view });
    this._beat = setInterval(() => this._tick(), BEAT_MS);
    this._listener.attached();
    this._tick();
  }

  _hear(message) {
    if (!message) {
      return;
    }
    if (message.type === 'frame') {
      this._seen = Math.max(this._seen, message.frame);
    }
    this._listener.message(message);
  }

  _tick() {
    if (!this._comm || this._attention === NONE) {
      return;
    }
    const full = this._attention === FULL;
    const ahead = Math.min(full ? AHEAD : AHEAD_ASIDE, Math.max(2, Math.floor((BUSY_MS * 1.5) / Math.max(this._cost, 1))));
    this.say({ type: 'credit', until: this._seen + ahead });
    if (Date.now() - this._lastSnapshot >= (full ? SNAPSHOT_MS : SNAPSHOT_ASIDE_MS)) {
      this._lastSnapshot = Date.now();
      this.say({ type: 'snapshot' });
    }
  }

  _drop(reason, text = '') {
    clearInterval(this._beat);
    const had = this._comm !== null;
    this._comm = null;
    this._kernel = null;
    if (had && reason) {
      this._listener.detached(reason, text);
    }
  }
}
