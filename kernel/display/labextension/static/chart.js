// A chart that the kernel draws for this many pixels; the page shows it in the theme's colours and reads values out
// under the pointer or the arrow keys. A saved chart is a picture and nothing more.

import { element } from './elements.js';
import { Readout } from './readout.js';
import { sanitise } from './sanitise.js';

const LEAST = 220;
const MOST = 340;

export class Chart {
  constructor(say) {
    this._say = say;
    this._paused = false;
    this._live = false;
    this._told = '';
    this.node = element('div', 'cl-chart');
    this.node.tabIndex = 0;
    this._picture = element('div', 'cl-picture');
    this._readout = new Readout();
    this.node.append(this._picture, this._readout.node);
    this.node.addEventListener('pointermove', event => this._readout.point(event.clientX, event.clientY, this.node));
    this.node.addEventListener('pointerleave', () => this._readout.hide());
    this.node.addEventListener('blur', () => this._readout.hide());
    this._sized = new ResizeObserver(() => this.ask());
    this._sized.observe(this.node);
  }

  dispose() {
    this._sized.disconnect();
  }

  ask(again = false) {
    if (again) {
      this._live = true;
      this._told = '';
    }
    const width = Math.round(this.node.clientWidth);
    if (!this._live || width < 80) {
      return;
    }
    const height = Math.round(Math.min(Math.max(width * 0.42, LEAST), MOST));
    const message = { type: 'viewport', width: Math.min(width, 4000), height, paused: this._paused };
    const told = JSON.stringify(message);
    if (told !== this._told) {
      this._told = told;
      this._say(message);
    }
  }

  setPaused(paused) {
    this._paused = paused;
    this.ask();
  }

  setLive(live) {
    this._live = live;
    if (!live) {
      this._readout.hide();
    }
  }

  drawSaved(picture) {
    if (!picture) {
      return;
    }
    // An image cannot run anything, whatever is in it.
    const image = (data, className) => {
      const img = element('img', className);
      img.src = `data:image/png;base64,${data}`;
      img.width = picture.width;
      img.height = picture.height;
      img.alt = picture.alt;
      return img;
    };
    this._picture.replaceChildren(image(picture.light, 'cl-saved cl-light'), image(picture.dark, 'cl-saved cl-dark'));
    this.node.setAttribute('aria-label', picture.alt);
  }

  draw(frame) {
    const chart = frame.chart;
    const svg = chart ? sanitise(chart.svg, document) : null;
    if (!svg) {
      return false;
    }
    svg.setAttribute('width', String(chart.width));
    svg.setAttribute('height', String(chart.height));
    svg.setAttribute('role', 'img');
    const label = `${chart.y} over ${chart.x}, ${chart.series.length} series`;
    svg.setAttribute('aria-label', label);
    this.node.setAttribute('aria-label', `Chart: ${label}. Arrow keys read out values.`);
    this._picture.replaceChildren(svg);
    this._readout.update(chart);
    return true;
  }

  key(key) {
    return this._readout.key(key);
  }
}
