// The stand-in colours become the theme's. What the allow list lets through is tested in a browser, which has a DOM.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ink } from '../labextension/static/sanitise.js';

test('stand-in colours become variables of the theme', () => {
  assert.equal(ink('#010000'), 'var(--cl-text)');
  assert.equal(ink('#010003'), 'var(--cl-axis)');
  assert.equal(ink('#020009'), 'var(--cl-series-9)');
});

test('a colour is a colour or none', () => {
  assert.equal(ink('#ABCDEF'), '#ABCDEF');
  for (const bad of ['url(#x)', 'red;background:url(//x)', 'none', '', 'var(--x)', '#12345', 'javascript:1']) {
    assert.equal(ink(bad), 'none');
  }
});
