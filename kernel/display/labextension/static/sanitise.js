// Lets a chart's SVG through, element by element: what is not on these lists does not reach the page. The stand-in
// colours the kernel draws with become the theme's.

const SVG = 'http://www.w3.org/2000/svg';
const MAX_ELEMENTS = 20_000;

const NUMBER = /^-?\d+(\.\d+)?$/;
const LENGTH = /^-?\d+(\.\d+)?(em|ex|px)?$/;
const WORD = /^[a-zA-Z-]+$/;
const COLOUR = /^#[0-9a-fA-F]{6}$/;
const POINTS = /^[-\d., ]*$/;

/** For each element the attributes it may have, each with the form its value must have. */
const ALLOWED = {
  svg: { width: NUMBER, height: NUMBER, viewBox: /^[\d. ]+$/ },
  line: { x1: NUMBER, y1: NUMBER, x2: NUMBER, y2: NUMBER },
  polyline: { points: POINTS },
  polygon: { points: POINTS },
  rect: { x: NUMBER, y: NUMBER, width: NUMBER, height: NUMBER },
  circle: { cx: NUMBER, cy: NUMBER, r: NUMBER },
  text: { x: NUMBER, y: NUMBER, dy: LENGTH, 'text-anchor': WORD, 'font-size': LENGTH, 'font-weight': WORD }
};
const DRAWN = { opacity: NUMBER, 'stroke-width': NUMBER };
const INKS = ['text', 'muted', 'grid', 'axis'];

/** A stand-in colour as the theme's: `#01000n` are the neutral inks, `#02000n` the series. */
export function ink(colour) {
  const stand = /^#0([12])000([0-9])$/.exec(colour);
  if (!stand) {
    return COLOUR.test(colour) ? colour : 'none';
  }
  return stand[1] === '1' ? `var(--cl-${INKS[stand[2]] ?? 'text'})` : `var(--cl-series-${stand[2]})`;
}

/** The SVG as an element of this document, or null when it is none. */
export function sanitise(source, document) {
  const parsed = new DOMParser().parseFromString(source, 'image/svg+xml');
  const root = parsed.documentElement;
  if (root.localName !== 'svg' || root.namespaceURI !== SVG || parsed.getElementsByTagName('*').length > MAX_ELEMENTS) {
    return null;
  }
  return copy(root, document);
}

function copy(element, document) {
  const allowed = element.namespaceURI === SVG ? ALLOWED[element.localName] : undefined;
  if (!allowed) {
    return null;
  }
  const clean = document.createElementNS(SVG, element.localName);
  for (const { name, value } of element.attributes) {
    const form = Object.hasOwn(allowed, name) ? allowed[name] : Object.hasOwn(DRAWN, name) ? DRAWN[name] : null;
    if (form?.test(value)) {
      clean.setAttribute(name, value);
    } else if (name === 'fill' || name === 'stroke') {
      clean.style[name] = ink(value);
    }
  }
  if (element.localName === 'text') {
    clean.textContent = element.textContent.trim();
    return clean;
  }
  for (const child of element.children) {
    const kept = copy(child, document);
    if (kept) {
      clean.append(kept);
    }
  }
  return clean;
}
