// What the page and the kernel say to each other, version 1: the page's side of kernel/display/src/live/protocol.rs.
// Nothing that arrives is trusted: these functions return a checked copy, or null. No DOM here.

export const VERSION = 1;
export const TARGET = 'corriente.live';
export const LIVE_MIME = 'application/vnd.corriente.live+json';

const MAX_COLUMNS = 2000;
const MAX_ROWS = 500;
const MAX_SERIES = 100;
const MAX_TEXT = 10_000;
const MAX_PICTURE = 20_000_000;
const STATES = ['starting', 'running', 'waiting', 'suspended', 'ended', 'failed'];

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = value => Number.isSafeInteger(value) && value >= 0;
const count = value => (isCount(value) ? value : 0);
const finite = value => (Number.isFinite(value) ? value : null);
const text = value => (typeof value === 'string' ? value.slice(0, MAX_TEXT) : '');
const list = value => (Array.isArray(value) ? value : []);

/** The output of a cell. */
export function readOutput(value) {
  if (!isObject(value) || value.version !== VERSION || !['table', 'chart'].includes(value.kind)) {
    return null;
  }
  const view = text(value.view);
  if (!/^[0-9a-f-]{36}$/.test(view)) {
    return null;
  }
  const snapshot = isObject(value.snapshot) ? value.snapshot : {};
  return {
    view,
    kind: value.kind,
    name: text(value.name).slice(0, 200),
    takenMs: finite(snapshot.taken_ms),
    status: readStatus(snapshot.status),
    table: value.kind === 'table' ? readSavedTable(snapshot.table) : null,
    picture: value.kind === 'chart' ? readPicture(snapshot.picture) : null
  };
}

/** A query's status; what is missing or wrong becomes nothing. */
export function readStatus(value) {
  const status = isObject(value) ? value : {};
  return {
    state: STATES.includes(status.state) ? status.state : 'starting',
    message: text(status.message),
    name: text(status.name).slice(0, 200),
    topic: text(status.topic),
    rows: count(status.rows),
    droppedRows: count(status.dropped_rows),
    rowsRead: count(status.rows_read),
    lateRows: count(status.late_rows),
    deadLetters: count(status.dead_letters),
    lastDeadLetter: text(status.last_dead_letter),
    notes: list(status.notes).slice(0, 5).map(text),
    watermarkMs: finite(status.watermark_ms),
    newestMs: finite(status.newest_ms)
  };
}

/** A message of the kernel: a frame with its buffers decoded, a status, a snapshot or a refusal. */
export function readMessage(data, buffers) {
  if (!isObject(data)) {
    return null;
  }
  switch (data.type) {
    case 'frame': {
      const part = data.table ? readTable(data.table, buffers) : readChart(data.chart, buffers);
      return part && isCount(data.frame)
        ? { type: 'frame', frame: data.frame, sentMs: finite(data.sent_ms), status: readStatus(data.status), ...part }
        : null;
    }
    case 'status':
      return { type: 'status', status: readStatus(data.status) };
    case 'snapshot': {
      const bundle = data.bundle;
      const whole = isObject(bundle) && isObject(bundle.data) && isObject(bundle.metadata);
      return whole && readOutput(bundle.data[LIVE_MIME]) ? { type: 'snapshot', bundle } : null;
    }
    case 'refused':
      return { type: 'refused', detail: text(data.detail) };
    default:
      return null;
  }
}

function readColumns(value) {
  const columns = list(value);
  if (columns.length > MAX_COLUMNS || !columns.every(isObject)) {
    return null;
  }
  return columns.map(column => ({ name: text(column.name), dtype: text(column.dtype), right: column.right === true }));
}

function readTable(table, buffers) {
  const columns = isObject(table) ? readColumns(table.columns) : null;
  const sizes = columns && isCount(table.rows) && table.rows <= MAX_ROWS && isCount(table.first) && isCount(table.total);
  if (!sizes || !isCount(table.height) || list(buffers).length !== columns.length) {
    return null;
  }
  const cells = buffers.map(buffer => unpack(buffer, table.rows));
  if (cells.includes(null)) {
    return null;
  }
  const sort = isObject(table.sort)
    ? { column: text(table.sort.column), descending: table.sort.descending === true }
    : null;
  return { table: { columns, cells, first: table.first, rows: table.rows, total: table.total, height: table.height, sort } };
}

function readSavedTable(table) {
  const columns = isObject(table) ? readColumns(table.columns) : null;
  if (!columns || list(table.rows).length > MAX_ROWS) {
    return null;
  }
  const rows = list(table.rows).map(list);
  const cell = value => (value === null || value === undefined ? null : text(String(value)));
  const cells = columns.map((_, place) => rows.map(row => cell(row[place])));
  return { columns, cells, first: 0, rows: rows.length, total: count(table.total), height: rows.length, sort: null };
}

function readPicture(picture) {
  if (!isObject(picture)) {
    return null;
  }
  // iVBOR is how every PNG begins in Base64; nothing else is shown, and only as an image.
  const png = value =>
    typeof value === 'string' && value.length < MAX_PICTURE && /^iVBOR[A-Za-z0-9+/]*={0,2}$/.test(value) ? value : null;
  const light = png(picture.light);
  const side = value => Math.min(Math.max(count(value), 1), 4000);
  return light
    ? { light, dark: png(picture.dark) ?? light, width: side(picture.width), height: side(picture.height), alt: text(picture.alt) }
    : null;
}

function readChart(chart, buffers) {
  if (!isObject(chart) || !isObject(chart.plot) || !['time', 'number', 'category'].includes(chart.kind)) {
    return null;
  }
  const series = list(chart.series);
  if (series.length > MAX_SERIES || list(buffers).length !== series.length + 1 || !series.every(isObject)) {
    return null;
  }
  const plot = {};
  for (const key of ['x', 'y', 'width', 'height', 'x_from', 'x_to', 'y_from', 'y_to']) {
    if (!Number.isFinite(chart.plot[key])) {
      return null;
    }
    plot[key] = chart.plot[key];
  }
  const points = buffers.slice(1).map(floats);
  if (points.includes(null) || !isCount(chart.width) || !isCount(chart.height)) {
    return null;
  }
  return {
    chart: {
      svg: new TextDecoder().decode(bytes(buffers[0])),
      width: chart.width,
      height: chart.height,
      plot,
      kind: chart.kind,
      categories: list(chart.categories).map(text),
      x: text(chart.x),
      y: text(chart.y),
      series: series.map((one, place) => ({
        name: text(one.name),
        colour: count(one.colour) % 10,
        points: points[place]
      }))
    }
  };
}

function bytes(buffer) {
  if (ArrayBuffer.isView(buffer)) {
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }
  return new Uint8Array(buffer instanceof ArrayBuffer ? buffer : new ArrayBuffer(0));
}

/** A column's texts from its buffer: ends, nulls, UTF-8. */
export function unpack(buffer, rows) {
  const all = bytes(buffer);
  if (all.byteLength < 5 * rows) {
    return null;
  }
  const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  const decoder = new TextDecoder();
  const cells = new Array(rows);
  let start = 5 * rows;
  for (let row = 0; row < rows; row++) {
    const end = 5 * rows + view.getUint32(4 * row, true);
    if (end < start || end > all.byteLength) {
      return null;
    }
    cells[row] = all[4 * rows + row] === 1 ? null : decoder.decode(all.subarray(start, end));
    start = end;
  }
  return cells;
}

/** Points as x and y in turn. A buffer need not lie on a multiple of eight bytes, so it is copied. */
export function floats(buffer) {
  const all = bytes(buffer);
  return all.byteLength % 16 === 0 ? new Float64Array(all.slice().buffer) : null;
}
