// What is drawn on a picture, as points in shares of it (x right, y down), and what a person does to it.

export const KINDS = { lines: { closed: false, least: 2 }, zones: { closed: true, least: 3 }, masks: { closed: true, least: 3 } };
const STEP = 0.005;
const LEAP = 0.05;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const clip = (value) => Math.min(1, Math.max(0, value));
const rounded = (point) => point.map((value) => Math.round(clip(value) * 10_000) / 10_000);

export function moved(points, index, to) {
  return points.map((point, i) => (i === index ? rounded(to) : point));
}

// The whole of it, as far as it stays within the picture.
export function shifted(points, dx, dy) {
  const [left, right] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  const [top, bottom] = [Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y))];
  const [x, y] = [Math.min(1 - right, Math.max(-left, dx)), Math.min(1 - bottom, Math.max(-top, dy))];
  return points.map((point) => rounded([point[0] + x, point[1] + y]));
}

export function inserted(points, after, at) {
  return [...points.slice(0, after + 1), rounded(at), ...points.slice(after + 1)];
}

export function without(points, index, kind) {
  return points.length <= KINDS[kind].least ? points : points.filter((_, i) => i !== index);
}

// By an arrow key; null for another one. With Shift farther.
export function nudged(points, index, key, far) {
  if (!(key in ARROWS)) return null;
  const [dx, dy] = ARROWS[key].map((way) => way * (far ? LEAP : STEP));
  return moved(points, index, [points[index][0] + dx, points[index][1] + dy]);
}

// Each side as [first, second, index of the first].
export function sides(points, closed) {
  const ends = closed ? points.length : points.length - 1;
  return points.slice(0, ends).map((point, i) => [point, points[(i + 1) % points.length], i]);
}

// Where a line's arrows stand: the middle of its longest side, the way along it and to its right as one walks it,
// in pixels.
export function across(points, width, height) {
  const scaled = points.map(([x, y]) => [x * width, y * height]);
  const length = ([[ax, ay], [bx, by]]) => Math.hypot(bx - ax, by - ay);
  const [a, b] = sides(scaled, false).reduce((best, side) => (length(side) > length(best) ? side : best));
  const long = length([a, b]) || 1;
  const along = [(b[0] - a[0]) / long, (b[1] - a[1]) / long];
  return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], along, right: [-along[1], along[0]] };
}

// For who draws with the keyboard: something in the middle that can be moved.
export function first(kind) {
  if (kind === "lines") return [[0.3, 0.6], [0.7, 0.6]];
  return [[0.35, 0.4], [0.65, 0.4], [0.65, 0.7], [0.35, 0.7]];
}

export function freeName(kind, names) {
  const word = kind.slice(0, -1);
  for (let n = 1; ; n += 1) if (!names.includes(`${word}-${n}`)) return `${word}-${n}`;
}
