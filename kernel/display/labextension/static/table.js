// A table that shows some rows of many: rows of DOM are pooled and only texts that differ are written, the head stays
// in place, and what the reader looks at does not jump when new rows come on top.

import { element, setText } from './elements.js';
import { grouped } from './numbers.js';
import { nextSort, shift, toAsk } from './pages.js';

const ROW = 24;
const HEAD = 40;
const ROWS_SHOWN = 12;
const MAX_CHARS = 44;
/** Browsers lay out no element higher than about 33 million pixels. */
const MAX_HEIGHT = 30_000_000;

export class Table {
  /** `say` sends to the kernel; the filter goes into `tools`. */
  constructor(say, tools) {
    this._say = say;
    this._columns = [];
    this._widths = [];
    this._rows = [];
    this._sort = null;
    this._filter = '';
    this._paused = false;
    this._asked = null;
    this._total = 0;
    this._height = null;
    this._live = false;
    this._pending = 0;
    this._build(tools);
  }

  dispose() {
    cancelAnimationFrame(this._pending);
    clearTimeout(this._typing);
    this._sized?.disconnect();
  }

  /** Asks for the rows on screen; `again` when the kernel has forgotten what was asked. */
  ask(again = false) {
    if (again) {
      this._asked = null;
      this._live = true;
    }
    const [from, to] = this._visible();
    const wanted = toAsk(this._asked, from, to, this._total, this._height ?? 0, this._anchored());
    if (wanted) {
      this._asked = wanted;
      this._tellViewport();
    }
  }

  setPaused(paused) {
    this._paused = paused;
    this._asked = null;
    this.ask();
  }

  setLive(live) {
    this._filterBox.hidden = !live;
    for (const head of this._head.children) {
      head.firstChild.disabled = !live;
    }
    this._live = live;
  }

  drawSaved(table) {
    if (table) {
      this._draw(table);
    }
  }

  draw(frame) {
    if (!frame.table) {
      return false;
    }
    const table = frame.table;
    const anchored = this._anchored();
    const move = this._paused ? 0 : shift(this.node.scrollTop, this._height, table.height, ROW, anchored);
    this._draw(table);
    if (move > 0) {
      this.node.scrollTop += move;
    }
    this.ask();
    return true;
  }

  /** Scrolls by keys; says whether the key was one of its own. */
  key(key) {
    const page = this.node.clientHeight - HEAD - ROW;
    const steps = { ArrowDown: ROW, ArrowUp: -ROW, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      this.node.scrollLeft += key === 'ArrowRight' ? 60 : -60;
      return true;
    }
    if (!(key in steps)) {
      return false;
    }
    const to = this.node.scrollTop + steps[key];
    this.node.scrollTop = Math.min(Math.max(to, 0), this.node.scrollHeight);
    return true;
  }

  _anchored() {
    return !this._sort && !this._filter;
  }

  _visible() {
    const from = Math.floor(this.node.scrollTop / ROW);
    const shown = Math.ceil(Math.max(this.node.clientHeight - HEAD, ROW * ROWS_SHOWN) / ROW);
    return [from, from + shown + 1];
  }

  _tellViewport() {
    if (!this._live) {
      return;
    }
    const { first, rows, anchor } = this._asked;
    this._say({ type: 'viewport', first, rows, sort: this._sort, filter: this._filter || null, anchor, paused: this._paused });
  }

  _build(tools) {
    this.node = element('div', 'cl-table');
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'grid');
    this.node.setAttribute('aria-readonly', 'true');
    this._sheet = element('div', 'cl-sheet');
    this._head = element('div', 'cl-head');
    this._head.setAttribute('role', 'row');
    this._head.setAttribute('aria-rowindex', '1');
    this._space = element('div', 'cl-space');
    this._space.setAttribute('role', 'rowgroup');
    this._pool = element('div', 'cl-rows');
    this._pool.setAttribute('role', 'presentation');
    this._empty = element('div', 'cl-empty', 'no rows yet');
    this._space.append(this._pool);
    this._sheet.append(this._head, this._space);
    this.node.append(this._sheet, this._empty);
    this.node.addEventListener('scroll', () => this._onScroll(), { passive: true });
    this._filterBox = element('input', 'cl-filter');
    this._filterBox.type = 'search';
    this._filterBox.placeholder = 'Filter rows';
    this._filterBox.maxLength = 200;
    this._filterBox.setAttribute('aria-label', 'Filter rows');
    this._filterBox.spellcheck = false;
    this._filterBox.addEventListener('input', () => this._onFilter());
    tools.append(this._filterBox);
    this._sized = new ResizeObserver(() => this._live && this.ask());
    this._sized.observe(this.node);
  }

  _onScroll() {
    if (!this._pending) {
      this._pending = requestAnimationFrame(() => {
        this._pending = 0;
        this.ask();
      });
    }
  }

  _onFilter() {
    clearTimeout(this._typing);
    this._typing = setTimeout(() => {
      this._filter = this._filterBox.value.trim();
      this._fromTheTop();
    }, 120);
  }

  _onSort(place) {
    this._sort = nextSort(this._sort, this._columns[place]);
    this._markSort();
    this._fromTheTop();
  }

  _fromTheTop() {
    this.node.scrollTop = 0;
    this._height = null;
    this._asked = null;
    this.ask();
  }

  _draw(table) {
    this._layOut(table);
    this._total = table.total;
    this._height = table.height;
    const scroll = this.node.scrollTop;
    this._space.style.height = `${Math.min(table.total * ROW, MAX_HEIGHT)}px`;
    this._pool.style.transform = `translateY(${table.first * ROW}px)`;
    this.node.setAttribute('aria-rowcount', String(table.total + 1));
    while (this._rows.length < table.rows) {
      this._addRow();
    }
    this._rows.forEach((row, place) => {
      const used = place < table.rows;
      if (row.hidden === used) {
        row.hidden = !used;
      }
      if (used) {
        this._fill(row, table, place);
      }
    });
    this._empty.hidden = table.total > 0;
    this._empty.textContent = this._filter ? `no row holds “${this._filter}”` : 'no rows yet';
    const rowsShown = Math.min(Math.max(table.total, 3), ROWS_SHOWN);
    if (!(this._shown >= rowsShown)) {
      // The table grows with its first rows and never shrinks: the cells below must not jump.
      this._shown = rowsShown;
      this.node.style.height = `${HEAD + rowsShown * ROW + 1}px`;
    }
    if (this.node.scrollTop !== scroll) {
      this.node.scrollTop = scroll;
    }
    this._filterBox.title = this._filter ? `${grouped(table.total)} rows match` : '';
  }

  _fill(row, table, place) {
    row.setAttribute('aria-rowindex', String(table.first + place + 2));
    const odd = (table.first + place) % 2 === 1;
    row.classList.toggle('cl-odd', odd);
    for (let column = 0; column < table.columns.length; column++) {
      const value = table.cells[column][place];
      const cell = row.children[column];
      setText(cell, value === null ? 'null' : value);
      if (cell.cellIsNull !== (value === null)) {
        cell.cellIsNull = value === null;
        cell.classList.toggle('cl-null', value === null);
      }
    }
  }

  _addRow() {
    const row = element('div', 'cl-row');
    row.setAttribute('role', 'row');
    for (const column of this._columns) {
      const cell = element('div', column.right ? 'cl-cell cl-right' : 'cl-cell');
      cell.setAttribute('role', 'gridcell');
      row.append(cell);
    }
    this._pool.append(row);
    this._rows.push(row);
  }

  /** Builds the head anew when the columns have changed, and widens columns for what they hold. */
  _layOut(table) {
    const same =
      table.columns.length === this._columns.length &&
      table.columns.every((column, place) => column.name === this._columns[place].name && column.dtype === this._columns[place].dtype);
    if (!same) {
      this._columns = table.columns;
      this._rows = [];
      this._pool.replaceChildren();
      this._head.replaceChildren(...table.columns.map((column, place) => this._headCell(column, place)));
      this._widths = table.columns.map(column => Math.max(column.name.length + 2, column.dtype.length));
      this.node.setAttribute('aria-colcount', String(table.columns.length));
      this._markSort();
    }
    let wider = !same;
    table.cells.forEach((cells, place) => {
      for (const cell of cells) {
        const chars = Math.min(cell === null ? 4 : cell.length, MAX_CHARS);
        if (chars > this._widths[place]) {
          this._widths[place] = chars;
          wider = true;
        }
      }
    });
    if (wider) {
      // `ch` is the width of a digit; a text's letters are narrower on average.
      const wide = (chars, place) => (this._columns[place].right ? chars : chars * 0.93).toFixed(1);
      const tracks = this._widths.map((chars, place) => `minmax(calc(${wide(chars, place)}ch + 24px), ${chars}fr)`);
      this._sheet.style.setProperty('--cl-columns', tracks.join(' '));
    }
  }

  _headCell(column, place) {
    const head = element('div', column.right ? 'cl-th cl-right' : 'cl-th');
    head.setAttribute('role', 'columnheader');
    const button = element('button', 'cl-sort');
    button.type = 'button';
    button.disabled = !this._live;
    button.append(element('span', 'cl-th-name', column.name), element('span', 'cl-th-type', column.dtype));
    button.addEventListener('click', () => this._onSort(place));
    head.append(button);
    return head;
  }

  _markSort() {
    this._columns.forEach((column, place) => {
      const sorted = this._sort?.column === column.name;
      const order = sorted ? (this._sort.descending ? 'descending' : 'ascending') : 'none';
      this._head.children[place]?.setAttribute('aria-sort', order);
    });
  }
}
