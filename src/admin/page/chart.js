/* Lines over time, as paths of SVG. */

/* The path through points [x, y]; a gap where there is a null between them. */
export function line(points) {
  let path = '';
  let open = false;
  for (const point of points) {
    if (point) path += `${open ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    open = Boolean(point);
  }
  return path;
}

/* The area between two lines that have the same x. */
export function band(upper, lower) {
  let path = '';
  let from = 0;
  for (let i = 0; i <= upper.length; i += 1) {
    if (upper[i]) continue;
    if (i > from) path += `${line([...upper.slice(from, i), ...lower.slice(from, i).reverse()])}Z`;
    from = i + 1;
  }
  return path;
}

/* A round number of at least `value`: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map(step => step * power).find(top => top >= value);
}
