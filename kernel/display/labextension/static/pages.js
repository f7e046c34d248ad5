// Which rows a table's page shows and which it asks for. Rows are counted from the top; while new rows come on top,
// a row's place grows by as much as the result's height. Functions of values; no DOM here.

/** Rows beyond the visible ones that are asked for on each side, so that a small scroll shows rows at once. */
const MARGIN = 12;

/** Where the rows that were asked for lie now. */
export function askedNow(asked, height, anchored) {
  const moved = anchored && asked.first > 0 ? Math.max(0, height - asked.anchor) : 0;
  return { first: asked.first + moved, last: asked.first + moved + asked.rows };
}

/**
 * What to ask for when the rows `from` to `to` are visible: null when what was asked for covers them.
 * `anchored` says that neither sort nor filter is on, so that places move with the height.
 */
export function toAsk(asked, from, to, total, height, anchored) {
  if (asked) {
    const now = askedNow(asked, height, anchored);
    const enough = from >= now.first && (to <= now.last || now.last >= total);
    if (enough) {
      return null;
    }
  }
  const first = Math.max(0, from - MARGIN);
  return { first, rows: Math.min(500, to - first + MARGIN), anchor: height };
}

/** How far to scroll so that the rows being read stay where they are; at the very top, new rows are to be seen. */
export function shift(scrollTop, before, height, rowHeight, anchored) {
  return anchored && scrollTop > 0 && before !== null ? Math.max(0, height - before) * rowHeight : 0;
}

/** The next order after a click on a column's head: numbers and times first from the top, texts from A. */
export function nextSort(sort, column) {
  const firstDescending = column.right || /^(date|time)/.test(column.dtype);
  if (sort?.column !== column.name) {
    return { column: column.name, descending: firstDescending };
  }
  return sort.descending === firstDescending ? { column: column.name, descending: !firstDescending } : null;
}
