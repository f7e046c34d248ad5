// One live view on the page: the frame around a table or a chart, its state, and what the notebook is to keep of it.
// The root element carries what scripts rely on: data-kind, data-state, data-frame, data-rows, data-lag-ms.

import { Chart } from './chart.js';
import { ASIDE, FULL, NONE } from './connection.js';
import { counted, grouped, lag, moment } from './numbers.js';
import { readOutput } from './protocol.js';
import { Table } from './table.js';
import { element } from './elements.js';

const PAUSE = 'M5 3h2.5v10H5zM8.5 3H11v10H8.5z';
const PLAY = 'M5 3l8 5-8 5z';

/** What the reader is told when there is nothing live behind the picture. */
const WHY = {
  none: 'No kernel: this is the last state that was saved. Run the cell to see it live.',
  gone: 'The kernel has stopped: this is the last state it showed. Run the cell again to see it live.',
  unknown: 'This is the last state of an earlier run. Run the cell again to see it live.',
  silent: 'Nothing is heard from the cell process: this is the last state it showed. If it has ended, run the cell again.'
};

export class LiveView {
  constructor(output, connection, store) {
    this._output = readOutput(output);
    this._connection = connection;
    this._store = store;
    this._latest = null;
    this._bundle = null;
    this._paused = false;
    this._near = false;
    this._newest = null;
    this._drawing = 0;
    this.node = element('div', 'corriente-live');
    if (!this._output) {
      this._build('table', '');
      this._state('error', 'This output cannot be shown: it is of another version of Corriente.');
      return;
    }
    this._build(this._output.kind, '');
    this._showSaved();
    this._watch();
    connection.start(this._output.view, this);
  }

  /** Whether this view already shows an output: the one it was made for, or a newer state of it. */
  is(output) {
    return this._output !== null && readOutput(output)?.view === this._output.view;
  }

  /** Puts the newest state into the notebook. */
  store() {
    if (this._bundle) {
      this._store(this._bundle);
      this._bundle = null;
    }
  }

  dispose() {
    cancelAnimationFrame(this._drawing);
    this._seen?.disconnect();
    document.removeEventListener('visibilitychange', this._onVisibility);
    window.removeEventListener('keydown', this._keys, true);
    this._connection.dispose();
    this._body?.dispose();
  }

  /** Looks whether anybody can see the view. */
  look() {
    if (this._output) {
      const page = document.visibilityState === 'visible' && this.node.isConnected;
      this._connection.setAttention(page ? (this._near ? FULL : ASIDE) : NONE);
    }
  }

  // What the connection says.

  attached() {
    this._body.ask(true);
  }

  detached(reason, text) {
    if (reason === 'quiet') {
      return;
    }
    if (reason === 'none' && this.node.dataset.frame !== undefined) {
      reason = 'gone';
    }
    // The picture on the screen is newer than the one in the notebook: keep it now, while it is known.
    this.store();
    this._state('static', text && reason === 'unknown' ? text : WHY[reason]);
  }

  silent() {
    this._state('static', WHY.silent);
  }

  message(message) {
    switch (message.type) {
      case 'frame':
        // Only the newest frame is drawn; one that the screen had no time for is replaced.
        this._latest = message;
        if (!this._drawing) {
          this._drawing = requestAnimationFrame(() => this._draw());
        }
        break;
      case 'status':
        this._showStatus(message.status);
        break;
      case 'snapshot':
        this._bundle = message.bundle;
        break;
      case 'refused':
        this._say(message.detail);
        break;
    }
  }

  _draw() {
    this._drawing = 0;
    const frame = this._latest;
    this._latest = null;
    if (!frame) {
      return;
    }
    const start = performance.now();
    if (!this._body.draw(frame)) {
      return;
    }
    this._connection.spent(performance.now() - start);
    const node = this.node;
    node.dataset.frame = String(frame.frame);
    if (frame.status.newestMs !== null && frame.status.newestMs !== this._newest) {
      this._newest = frame.status.newestMs;
      node.dataset.lagMs = String(Math.max(0, Date.now() - this._newest));
    }
    this._showStatus(frame.status);
  }

  _showSaved() {
    const { table, picture, status, takenMs } = this._output;
    this._body.drawSaved(table ?? picture);
    this._showStatus(status);
    this._state('static', status.state === 'failed' ? status.message : status.notes.join(' · '));
    if (takenMs !== null) {
      this._facts.append(this._fact('as of', `${moment(Math.floor(takenMs / 1000) * 1000)} UTC`));
    }
  }

  _showStatus(status) {
    this.node.dataset.rows = String(status.rows);
    // A query without a name of its own has a number; its topic says more.
    const title = /^\d*$/.test(status.name) ? status.topic : status.name;
    if (title && this._name.textContent !== title) {
      this._name.textContent = title;
    }
    const facts = [this._fact('', counted(status.rows, 'row'))];
    if (status.droppedRows > 0) {
      facts.push(this._fact('no longer held', grouped(status.droppedRows)));
    }
    if (status.rowsRead > 0) {
      facts.push(this._fact('read', grouped(status.rowsRead)));
    }
    if (status.lateRows > 0) {
      facts.push(this._fact('late', grouped(status.lateRows), 'Rows that came after the watermark had closed their window, and were dropped'));
    }
    if (status.deadLetters > 0) {
      facts.push(this._fact('dead letters', grouped(status.deadLetters), status.lastDeadLetter || 'Records that could not be decoded'));
    }
    if (status.watermarkMs !== null) {
      facts.push(this._fact('watermark', moment(Math.floor(status.watermarkMs / 1000) * 1000, 0), 'No earlier event is waited for; what is drawn faint can still change'));
    }
    if (this.node.dataset.lagMs !== undefined) {
      facts.push(this._fact('lag', lag(Number(this.node.dataset.lagMs)), 'From the event to the screen'));
    }
    this._facts.replaceChildren(...facts);
    if (this._connection.attached) {
      this._liveState(status);
    }
  }

  _liveState(status) {
    if (status.state === 'failed') {
      this._state('error', status.message || 'The query has failed.');
    } else if (this._paused) {
      this._state('paused', '');
    } else if (status.state === 'ended') {
      this._state('ended', status.notes.join(' · '));
    } else {
      const waits = status.state === 'waiting' ? [status.message || 'Waiting for the source.'] : [];
      this._state('live', [...waits, ...status.notes].join(' · '));
    }
  }

  _state(state, text) {
    this.node.dataset.state = state;
    this._word.textContent = { live: 'live', paused: 'paused', static: 'saved', ended: 'ended', error: 'error' }[state];
    this._say(text);
    const live = state === 'live' || state === 'paused';
    this._pause.hidden = !live;
    this._body.setLive?.(live || state === 'ended' || (state === 'error' && this._connection.attached));
  }

  _say(text) {
    if (this._note.textContent !== text) {
      this._note.textContent = text;
    }
    this._note.hidden = text === '';
  }

  _togglePause() {
    this._paused = !this._paused;
    this._path.setAttribute('d', this._paused ? PLAY : PAUSE);
    this._pause.setAttribute('aria-pressed', String(this._paused));
    this._pause.title = this._paused ? 'Go on (space)' : 'Pause (space)';
    this._state(this._paused ? 'paused' : 'live', '');
    this._body.setPaused(this._paused);
  }

  _build(kind, name) {
    const node = this.node;
    node.dataset.kind = kind;
    node.setAttribute('role', 'group');
    node.setAttribute('aria-label', `Live ${kind}${name ? ` of ${name}` : ''}`);
    this._name = element('span', 'cl-name', name);
    this._word = element('span', 'cl-word');
    this._tools = element('div', 'cl-tools');
    this._pause = this._pauseButton();
    const bar = element('div', 'cl-bar');
    bar.append(element('span', 'cl-dot'), this._name, this._word, this._tools);
    this._note = element('div', 'cl-note');
    this._note.setAttribute('role', 'status');
    this._facts = element('div', 'cl-facts');
    const say = message => this._connection.say(message);
    this._body = kind === 'table' ? new Table(say, this._tools) : new Chart(say);
    this._tools.append(this._pause);
    node.append(bar, this._note, this._body.node, this._facts);
  }

  _pauseButton() {
    const button = element('button', 'cl-pause');
    button.type = 'button';
    button.title = 'Pause (space)';
    button.setAttribute('aria-label', 'Pause');
    button.setAttribute('aria-pressed', 'false');
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', '0 0 16 16');
    svg.setAttribute('aria-hidden', 'true');
    this._path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    this._path.setAttribute('d', PAUSE);
    svg.append(this._path);
    button.append(svg);
    button.addEventListener('click', () => this._togglePause());
    return button;
  }

  _fact(name, value, title) {
    const fact = element('span', 'cl-fact');
    if (name) {
      fact.append(element('span', 'cl-fact-name', name), ' ');
    }
    fact.append(element('span', 'cl-fact-value', value));
    if (title) {
      fact.title = title;
    }
    return fact;
  }

  /** Credit is given only while somebody can see the page, and little while the view itself is off the screen. */
  _watch() {
    this._onVisibility = () => this.look();
    this._seen = new IntersectionObserver(entries => {
      this._near = entries[entries.length - 1].isIntersecting;
      this.look();
    });
    this._seen.observe(this.node);
    document.addEventListener('visibilitychange', this._onVisibility);
    // The notebook has its own use for arrows and space, and hears keys before the cell does; the window is earlier.
    this._keys = event => {
      if (!this.node.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const typing = event.target.tagName === 'INPUT';
      const pressing = event.target.tagName === 'BUTTON' && (event.key === ' ' || event.key === 'Enter');
      let ours = false;
      if (event.key === ' ' && !typing && !pressing && !this._pause.hidden) {
        this._togglePause();
        ours = true;
      } else if (!typing) {
        ours = this._body.key(event.key);
      }
      if (ours) {
        event.preventDefault();
      }
      if (ours || typing || pressing) {
        event.stopImmediatePropagation();
        if (typing && event.key === 'Escape') {
          event.target.blur();
        }
      }
    };
    window.addEventListener('keydown', this._keys, true);
  }
}
