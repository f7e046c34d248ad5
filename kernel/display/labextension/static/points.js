// Looking things up in a chart's points, which lie as x and y in turn, sorted by x. No DOM here.

/** The index of the point nearest to `x`; -1 when there is none. */
export function nearest(points, x) {
  const count = points.length / 2;
  if (count === 0) {
    return -1;
  }
  let [low, high] = [0, count - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[2 * middle] < x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const before = low - 1;
  return before >= 0 && x - points[2 * before] <= points[2 * low] - x ? before : low;
}

/** The place nearest to `x` that has a point, and each series' value there. */
export function at(series, x) {
  let best = null;
  for (const one of series) {
    const index = nearest(one.points, x);
    const found = index < 0 ? null : one.points[2 * index];
    if (found !== null && (best === null || Math.abs(found - x) < Math.abs(best - x))) {
      best = found;
    }
  }
  if (best === null) {
    return null;
  }
  const values = [];
  for (const one of series) {
    const index = nearest(one.points, best);
    if (index >= 0 && one.points[2 * index] === best) {
      values.push({ series: one, y: one.points[2 * index + 1] });
    }
  }
  return { x: best, values };
}

/** All places that have a point, in order. */
export function places(series) {
  const all = new Set();
  for (const one of series) {
    for (let index = 0; index < one.points.length; index += 2) {
      all.add(one.points[index]);
    }
  }
  return Float64Array.from(all).sort();
}
