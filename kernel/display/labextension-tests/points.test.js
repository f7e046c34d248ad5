// Reading values out of a chart's points.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, nearest, places } from '../labextension/static/points.js';
import { counted, grouped, lag, measured, moment } from '../labextension/static/numbers.js';

const a = { name: 'a', points: Float64Array.of(0, 1, 10, 2, 20, 3) };
const b = { name: 'b', points: Float64Array.of(10, 7) };

test('the nearest point is found from either side', () => {
  for (const [x, index] of [[-5, 0], [4, 0], [6, 1], [10, 1], [16, 2], [99, 2]]) {
    assert.equal(nearest(a.points, x), index, `at ${x}`);
  }
  assert.equal(nearest(new Float64Array(0), 1), -1);
});

test('only series with a point at the place are read', () => {
  assert.deepEqual(at([a, b], 9), { x: 10, values: [{ series: a, y: 2 }, { series: b, y: 7 }] });
  assert.deepEqual(at([a, b], 19), { x: 20, values: [{ series: a, y: 3 }] });
  assert.equal(at([], 1), null);
});

test('all places come in order, each once', () => {
  assert.deepEqual([...places([b, a])], [0, 10, 20]);
});

test('numbers and times read well', () => {
  assert.equal(grouped(1234567), '1,234,567');
  assert.equal(counted(1, 'row'), '1 row');
  assert.equal(counted(2000, 'row'), '2,000 rows');
  assert.equal(measured(39902.32), '39,902.32');
  assert.equal(moment(1763910000000), '2025-11-23 15:00:00');
  assert.equal(moment(1763910000500, 1000), '15:00:00.500');
  assert.equal(moment(NaN), '');
  assert.deepEqual([38, 1400, 720000, 7200000].map(lag), ['38 ms', '1.4 s', '12 min', '2.0 h']);
});
