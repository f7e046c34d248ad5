// The page asks for what it can draw, and for little while frames pile up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Credit } from '../labextension/static/credit.js';

test('a page that keeps up asks for a second and a half', () => {
  const credit = new Credit();
  credit.arrived(30, 1_000, 1_010);
  credit.spent(4);
  assert.equal(credit.until(), 75);
  assert.equal(credit.until(8), 38, 'less off the screen');
});

test('a page that draws slowly asks for what it can draw', () => {
  const credit = new Credit();
  credit.spent(90);
  assert.equal(credit.until(), 10);
});

test('frames that come late halve the credit, frames on time raise it again', () => {
  const credit = new Credit();
  credit.arrived(1, 0, 5_000);
  assert.equal(credit.until() - credit.seen, 45, 'clocks that differ are not lateness');
  credit.arrived(2, 1_000, 6_500);
  assert.deepEqual([credit.until(), credit.until(), credit.until(), credit.until(), credit.until()].map(until => until - 2), [22, 11, 5, 2, 2]);
  credit.arrived(3, 2_000, 7_010);
  assert.deepEqual([credit.until(), credit.until()].map(until => until - 3), [7, 12]);
});

test('frames out of order do not take credit back', () => {
  const credit = new Credit();
  credit.arrived(9, null, 0);
  credit.arrived(4, null, 0);
  assert.equal(credit.seen, 9);
});
