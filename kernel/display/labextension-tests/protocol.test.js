// What arrives from a kernel or a stranger's notebook is read only in the forms it should have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIVE_MIME, floats, readMessage, readOutput, readStatus, unpack } from '../labextension/static/protocol.js';

const VIEW = '0b9f3c1e-8f65-4a57-9c59-2d2f6d0f7a11';
const output = change => ({ version: 1, view: VIEW, kind: 'table', name: 'txns', snapshot: {}, ...change });

/** Packs texts as the kernel does. */
function pack(cells) {
  const texts = cells.map(cell => new TextEncoder().encode(cell ?? ''));
  const ends = new Uint32Array(cells.length);
  texts.reduce((end, text, place) => (ends[place] = end + text.length), 0);
  return Buffer.concat([new Uint8Array(ends.buffer), Uint8Array.from(cells, cell => (cell === null ? 1 : 0)), ...texts]);
}

test('a column comes out as it went in', () => {
  const cells = ['é', null, '', 'ab', '<b>'];
  assert.deepEqual(unpack(pack(cells), 5), cells);
  assert.deepEqual(unpack(Uint8Array.from([2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0xc3, 0xa9, 97, 98]), 4), ['é', null, '', 'ab']);
});

test('a column may lie anywhere in a larger buffer', () => {
  const whole = Buffer.concat([Uint8Array.from([9, 9, 9]), pack(['x', 'yz'])]);
  assert.deepEqual(unpack(whole.subarray(3), 2), ['x', 'yz']);
});

test('a column that lies about its lengths is refused', () => {
  const packed = pack(['abc', 'de']);
  packed.writeUInt32LE(999, 4);
  assert.equal(unpack(packed, 2), null);
  packed.writeUInt32LE(1, 4);
  assert.equal(unpack(packed, 2), null, 'ends must rise');
  assert.equal(unpack(new Uint8Array(3), 1), null);
  assert.equal(unpack('text', 1), null);
});

test('points are floats, whole pairs only', () => {
  const points = Float64Array.of(1, 2.5, 3, -4);
  const shifted = Buffer.concat([Uint8Array.from([7]), new Uint8Array(points.buffer)]).subarray(1);
  assert.deepEqual(floats(shifted), points);
  assert.equal(floats(new Uint8Array(8)), null);
});

test('an output needs its version, its kind and an id', () => {
  assert.equal(readOutput(output({})).view, VIEW);
  for (const bad of [null, [], 'x', output({ version: 2 }), output({ kind: 'script' }), output({ view: '../x' }), output({ view: 7 })]) {
    assert.equal(readOutput(bad), null);
  }
});

test('a saved picture is a PNG in Base64 or nothing', () => {
  const picture = light => readOutput(output({ kind: 'chart', snapshot: { picture: { light, dark: light, width: 10, height: 1e9, alt: 5 } } })).picture;
  assert.deepEqual(picture('iVBORw0KGgo='), { light: 'iVBORw0KGgo=', dark: 'iVBORw0KGgo=', width: 10, height: 4000, alt: '' });
  for (const bad of ['PHN2Zz4=', 'iVBOR" onerror="x', 'data:image/png;base64,iVBORw0=', 5, null, undefined]) {
    assert.equal(picture(bad), null);
  }
});

test('a saved table turns every cell to text', () => {
  const table = { columns: [{ name: 'a' }, { name: { toString: 1 } }], rows: [['x', 1], [null], 'no row'], total: 3 };
  const read = readOutput(output({ snapshot: { table } })).table;
  assert.deepEqual(read.cells, [['x', null, null], ['1', null, null]]);
  assert.deepEqual(read.columns[1], { name: '', dtype: '', right: false });
});

test('a status with nonsense in it is a status without', () => {
  const status = readStatus({ state: '<b>', rows: -1, rows_read: '5', watermark_ms: NaN, message: {} });
  assert.deepEqual([status.state, status.rows, status.rowsRead, status.watermarkMs, status.message], ['starting', 0, 0, null, '']);
});

test('a table frame has one good buffer for each column', () => {
  const table = { columns: [{ name: 'a', dtype: 'str', right: false }], first: 0, rows: 2, total: 9, height: 9 };
  const frame = (change, buffers) => readMessage({ type: 'frame', frame: 1, status: {}, table: { ...table, ...change } }, buffers);
  assert.deepEqual(frame({}, [pack(['x', 'y'])]).table.cells, [['x', 'y']]);
  assert.equal(frame({}, []), null);
  assert.equal(frame({}, [new Uint8Array(2)]), null);
  assert.equal(frame({ rows: 501 }, [pack(['x', 'y'])]), null);
  assert.equal(frame({ first: -1 }, [pack(['x', 'y'])]), null);
});

test('a chart frame has a plot of numbers and points for each series', () => {
  const plot = { x: 1, y: 1, width: 9, height: 9, x_from: 0, x_to: 1, y_from: 0, y_to: 1 };
  const chart = { width: 9, height: 9, plot, kind: 'time', categories: [], x: 't', y: 'v', series: [{ name: 'a', colour: 12 }] };
  const buffers = [Buffer.from('<svg/>'), new Uint8Array(16)];
  const read = (change, given = buffers) => readMessage({ type: 'frame', frame: 1, status: {}, chart: { ...chart, ...change } }, given);
  assert.equal(read({}).chart.series[0].colour, 2);
  assert.equal(read({ plot: { ...plot, x: '1' } }), null);
  assert.equal(read({ kind: 'pie' }), null);
  assert.equal(read({}, buffers.slice(0, 1)), null);
});

test('messages of no known type are nothing', () => {
  for (const bad of [null, 5, [], {}, { type: 'eval' }, { type: 'snapshot', bundle: { data: {}, metadata: {} } }, { type: 'frame' }]) {
    assert.equal(readMessage(bad, []), null);
  }
  const bundle = { data: { [LIVE_MIME]: output({}) }, metadata: {} };
  assert.deepEqual(readMessage({ type: 'snapshot', bundle }, []).bundle, bundle);
});
