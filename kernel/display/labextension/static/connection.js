// One view's line to the kernel: a comm that is opened when there is a kernel and someone looks, dropped when the
// kernel goes, and opened again when it is back. Gives credit about once a second. Knows nothing of what is drawn.

import { Credit } from './credit.js';
import { TARGET, VERSION, readMessage } from './protocol.js';

/** A view off the screen is kept fresh at a few frames a second, so that scrolling to it shows what is. */
const AHEAD_ASIDE = 8;
const BEAT_MS = 1000;
const SNAPSHOT_MS = 8000;
const SNAPSHOT_ASIDE_MS = 20_000;
const FIRST_SNAPSHOT_MS = 2000;
/** A live process says something every other second or so to who gives it credit. */
const SILENCE_MS = 8000;

/** How much anybody looks at a view: not at all, it is off the screen, it is on it. */
export const NONE = 0;
export const ASIDE = 1;
export const FULL = 2;

export class Connection {
  /** `listener` hears `message(checked)`, `attached()`, `detached(reason, text)` and `silent()`. */
  constructor(sessionContext) {
    this._context = sessionContext;
    this._comm = null;
    this._kernel = null;
    this._attention = NONE;
    this._over = null;
    this._credit = new Credit();
    this._lastSnapshot = 0;
    this._beat = null;
    this._reading = 0;
    this._heard = 0;
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
      this._heard = Date.now();
      this._settle();
      this._tick();
    }
  }

  /** Drawing a frame took this long. */
  spent(ms) {
    this._credit.spent(ms + this._reading);
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
    this._credit = new Credit();
    this._heard = Date.now();
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
    this._heard = Date.now();
    if (message.type === 'frame') {
      this._credit.arrived(message.frame, message.sentMs, Date.now());
    }
    this._listener.message(message);
  }

  _tick() {
    if (!this._comm || this._attention === NONE) {
      return;
    }
    if (Date.now() - this._heard > SILENCE_MS) {
      this._listener.silent();
    }
    const full = this._attention === FULL;
    this.say({ type: 'credit', until: this._credit.until(full ? undefined : AHEAD_ASIDE) });
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
