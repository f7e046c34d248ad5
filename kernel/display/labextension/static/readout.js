// The values of a chart's series at one place of the x axis: a line through the plot, a dot on each series and a card
// beside them.

import { element } from './elements.js';
import { measured, moment } from './numbers.js';
import { at, places } from './points.js';

const GAP = 14;

export class Readout {
  constructor() {
    this.node = element('div', 'cl-readout');
    this.node.hidden = true;
    this._line = element('div', 'cl-crosshair');
    this._card = element('div', 'cl-card');
    this._card.setAttribute('role', 'status');
    this.node.append(this._line, this._card);
    this._chart = null;
    this._x = null;
  }

  /** A new frame: the place that is read stays, its values follow. */
  update(chart) {
    this._chart = chart;
    if (this._x !== null) {
      this._show(this._x);
    }
  }

  hide() {
    this._x = null;
    this.node.hidden = true;
  }

  point(clientX, clientY, within) {
    if (!this._chart) {
      return;
    }
    const box = within.getBoundingClientRect();
    const { plot } = this._chart;
    const [x, y] = [clientX - box.left, clientY - box.top];
    const inside = x >= plot.x - 8 && x <= plot.x + plot.width + 8 && y >= 0 && y <= plot.y + plot.height + 8;
    if (!inside) {
      this.hide();
      return;
    }
    this._show(plot.x_from + ((x - plot.x) / plot.width) * (plot.x_to - plot.x_from));
  }

  key(key) {
    if (key === 'Escape') {
      this.hide();
      return true;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[key];
    if (step === undefined || !this._chart) {
      return false;
    }
    const all = places(this._chart.series);
    if (all.length > 0) {
      const now = this._x === null ? all.length : all.findIndex(x => x >= this._x);
      const next = Math.min(Math.max((now < 0 ? all.length : now) + step, 0), all.length - 1);
      this._show(all[next]);
    }
    return true;
  }

  _show(wanted) {
    const { plot, series, kind, categories } = this._chart;
    const found = at(series, wanted);
    if (!found) {
      this.hide();
      return;
    }
    this._x = found.x;
    const left = plot.x + ((found.x - plot.x_from) / (plot.x_to - plot.x_from)) * plot.width;
    this.node.hidden = left < plot.x - 1 || left > plot.x + plot.width + 1;
    this._line.style.cssText = `left:${left}px;top:${plot.y}px;height:${plot.height}px`;
    const title =
      kind === 'time'
        ? moment(found.x, plot.x_to - plot.x_from)
        : kind === 'category'
          ? categories[found.x] ?? ''
          : measured(found.x);
    const values = found.values.sort((a, b) => b.y - a.y).slice(0, 12);
    this._card.replaceChildren(element('div', 'cl-card-title', title), ...values.map(value => row(value)));
    const right = left + GAP + this._card.offsetWidth > plot.x + plot.width;
    this._card.style.cssText = right
      ? `right:calc(100% - ${left - GAP}px);top:${plot.y}px`
      : `left:${left + GAP}px;top:${plot.y}px`;
  }
}

function row({ series, y }) {
  const node = element('div', 'cl-card-row');
  const swatch = element('span', 'cl-swatch');
  swatch.style.background = `var(--cl-series-${series.colour})`;
  node.append(swatch, element('span', 'cl-card-name', series.name), element('span', 'cl-card-value', measured(y)));
  return node;
}
