// The allow list for SVG, in a real browser: what a hostile picture carries does not reach the page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const CHROMIUM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const source = readFileSync(new URL('../labextension/static/sanitise.js', import.meta.url), 'utf8');

/** Sanitises each picture in a page of its own and returns what came through. */
function sanitised(pictures) {
  const folder = mkdtempSync(join(tmpdir(), 'corriente-front-'));
  const page = join(folder, 'page.html');
  const script = `${source.replaceAll('export ', '')}
    window.ran = [];
    const out = ${JSON.stringify(pictures).replaceAll('<', '\\u003c')}.map(svg => {
      const clean = sanitise(svg, document);
      if (clean) document.body.append(clean);
      return clean?.outerHTML ?? null;
    });
    setTimeout(() => {
      document.body.replaceChildren();
      document.body.dataset.out = JSON.stringify({ out, ran: window.ran });
    }, 200);`;
  writeFileSync(page, `<!doctype html><meta charset="utf-8"><body><script type="module">${script}</script>`);
  try {
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=2000', `--user-data-dir=${folder}/profile`, '--dump-dom'];
    const dom = execFileSync(CHROMIUM, [...flags, `file://${page}`], { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] });
    const found = /data-out="([^"]*)"/.exec(dom);
    assert.ok(found, `the page wrote nothing: ${dom.slice(0, 2000)}`);
    return JSON.parse(found[1].replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const skip = !CHROMIUM && !process.env.CI && 'no Chromium: install it with `apt-get install chromium`, or name it in CHROMIUM';

test('a hostile picture loses everything but its shapes', { skip }, () => {
  const svg = inner => `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9" viewBox="0 0 9 9" onload="window.ran.push(1)">${inner}</svg>`;
  const { out, ran } = sanitised([
    svg('<script>window.ran.push(2)</script><line x1="1" y1="2" x2="3" y2="4" stroke="#020001" stroke-width="2"/>'),
    svg('<rect x="1" y="1" width="1" height="1" fill="url(http://127.0.0.1:1/x)" style="background:url(http://127.0.0.1:1/y)" onclick="ran.push(3)" class="jp-x" id="main"/>'),
    svg('<a xlink:href="javascript:ran.push(4)"><text x="1" y="1">in a link</text></a><foreignObject><img src="x" onerror="ran.push(5)"/></foreignObject>'),
    svg('<image href="http://127.0.0.1:1/z"/><use href="#main"/><animate attributeName="href"/><style>*{display:none}</style>'),
    svg('<text x="1" y="1" font-family="x"><tspan onload="ran.push(6)">a &lt;b&gt; &amp; c</tspan></text>'),
    '<svg xmlns="http://www.w3.org/2000/svg"><line x1="1"',
    '<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
    '<svg width="9"><script>ran.push(7)</script></svg>'
  ]);
  assert.deepEqual(ran, []);
  const open = '<svg width="9" height="9" viewBox="0 0 9 9">';
  assert.equal(out[0].replaceAll(' xmlns="http://www.w3.org/2000/svg"', ''), `${open}<line x1="1" y1="2" x2="3" y2="4" stroke-width="2" style="stroke: var(--cl-series-1);"></line></svg>`);
  assert.equal(out[1].replaceAll(' xmlns="http://www.w3.org/2000/svg"', ''), `${open}<rect x="1" y="1" width="1" height="1" style="fill: none;"></rect></svg>`);
  assert.equal(out[2], `${open}</svg>`);
  assert.equal(out[3], `${open}</svg>`);
  assert.equal(out[4], `${open}<text x="1" y="1">a &lt;b&gt; &amp; c</text></svg>`);
  assert.deepEqual(out.slice(5), [null, null, null]);
});
