// Scrolling: what is asked for, and what stays where it is while rows come on top.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedNow, nextSort, shift, toAsk } from '../labextension/static/pages.js';

test('the first rows are asked for with a margin below', () => {
  assert.deepEqual(toAsk(null, 0, 13, 1000, 1000, true), { first: 0, rows: 25, anchor: 1000 });
});

test('a small scroll asks for nothing, a larger one for the rows around', () => {
  const asked = { first: 0, rows: 25, anchor: 1000 };
  assert.equal(toAsk(asked, 8, 21, 1000, 1000, true), null);
  assert.deepEqual(toAsk(asked, 20, 33, 1000, 1000, true), { first: 8, rows: 37, anchor: 1000 });
});

test('at the end there is nothing more to ask for', () => {
  assert.equal(toAsk({ first: 980, rows: 25, anchor: 1000 }, 990, 1003, 1000, 1000, true), null);
  assert.equal(toAsk({ first: 0, rows: 25, anchor: 4 }, 0, 13, 4, 4, true), null);
});

test('while rows come on top, the rows that were asked for move down with those being read', () => {
  const asked = { first: 100, rows: 40, anchor: 1000 };
  assert.deepEqual(askedNow(asked, 1050, true), { first: 150, last: 190 });
  assert.equal(toAsk(asked, 162, 175, 1050, 1050, true), null);
  assert.deepEqual(askedNow(asked, 1050, false), { first: 100, last: 140 }, 'not with a sort or a filter');
  assert.deepEqual(askedNow({ first: 0, rows: 40, anchor: 1000 }, 1050, true), { first: 0, last: 40 }, 'not at the top');
});

test('what is being read stays in its place, the top stays the top', () => {
  assert.equal(shift(240, 1000, 1030, 24, true), 720);
  assert.equal(shift(0, 1000, 1030, 24, true), 0);
  assert.equal(shift(240, 1000, 1030, 24, false), 0);
  assert.equal(shift(240, null, 1030, 24, true), 0);
});

test('clicks on a head go through both orders and back to none', () => {
  const number = { name: 'n', dtype: 'i64', right: true };
  const text = { name: 's', dtype: 'str', right: false };
  const time = { name: 't', dtype: 'datetime[ms]', right: false };
  const first = nextSort(null, number);
  assert.deepEqual(first, { column: 'n', descending: true });
  assert.deepEqual(nextSort(first, number), { column: 'n', descending: false });
  assert.equal(nextSort(nextSort(first, number), number), null);
  assert.deepEqual(nextSort(first, text), { column: 's', descending: false });
  assert.deepEqual(nextSort(null, time), { column: 't', descending: true });
});
