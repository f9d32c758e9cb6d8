/** Spread a map of tokens over the pixels of an image (docs/method.md, 4), as Pillow resizes. */
import { ensure } from "../errors.js";

const SAME = 1e-6; // pixels

/**
 * Resize a grid over its window; pixels whose centre lies outside it become NaN.
 *
 * @param tokens one number for each token of the grid, row by row.
 * @param grid rows and columns.
 * @param size width and height of the image.
 * @param window the part of the image that the grid covers, in pixels: x0, y0, x1, y1.
 * @returns a Float32Array of height * width.
 */
export function place(tokens, [rows, columns], [width, height], window) {
  const map = { values: Float32Array.from(tokens), rows, columns };
  const whole = [0, 0, width, height];
  if (window.every((side, i) => Math.abs(side - whole[i]) <= SAME)) {
    return resized(map, [0, 0, columns, rows], width, height);
  }
  const [x0, y0, x1, y1] = window;
  const [left, right] = pixelsWithin(x0, x1, width);
  const [top, bottom] = pixelsWithin(y0, y1, height);
  ensure(
    left < right && top < bottom,
    "settings",
    `The window ${window} covers no pixel of the ${width} x ${height} image. Give one that does.`,
  );
  const [perX, perY] = [columns / (x1 - x0), rows / (y1 - y0)];
  // A pixel may reach beyond the window's edge: repeat the outer tokens, as clamping would.
  const border = Math.max(1, Math.ceil(Math.max(perX, perY)));
  const box = [
    (left - x0) * perX + border,
    (top - y0) * perY + border,
    (right - x0) * perX + border,
    (bottom - y0) * perY + border,
  ];
  const seen = resized(padded(map, border), box, right - left, bottom - top);
  const placed = new Float32Array(width * height).fill(NaN);
  for (let y = top; y < bottom; y++) {
    const from = (y - top) * (right - left);
    placed.set(seen.subarray(from, from + right - left), y * width + left);
  }
  return placed;
}

/** Return the half-open range of pixels whose centres lie between two edges. */
function pixelsWithin(start, stop, size) {
  return [Math.max(Math.ceil(start - 0.5), 0), Math.min(Math.ceil(stop - 0.5), size)];
}

/** Return a map with its outer values repeated around it. */
function padded({ values, rows, columns }, border) {
  const clamp = (at, count) => Math.min(Math.max(at - border, 0), count - 1);
  const [tall, wide] = [rows + 2 * border, columns + 2 * border];
  const around = Float32Array.from({ length: tall * wide }, (_, i) => {
    const row = clamp(Math.floor(i / wide), rows);
    return values[row * columns + clamp(i % wide, columns)];
  });
  return { values: around, rows: tall, columns: wide };
}

/** Resize the box of a map, bilinearly: the columns of each row, then the rows. */
function resized({ values, rows, columns }, [left, top, right, bottom], width, height) {
  const across = taps(left, right, columns, width);
  const wide = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (const [x, { first, weights }] of across.entries()) {
      const from = row * columns + first;
      wide[row * width + x] = weights.reduce((sum, weight, i) => sum + weight * values[from + i], 0);
    }
  }
  const tall = new Float32Array(height * width);
  for (const [y, { first, weights }] of taps(top, bottom, rows, height).entries()) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * wide[(first + i) * width + x];
      tall[y * width + x] = sum;
    }
  }
  return tall;
}

/** Which values each of `count` pixels between two edges is made of: the first, and the weights. */
function taps(start, stop, size, count) {
  const scale = (stop - start) / count;
  const reach = Math.max(scale, 1);
  return Array.from({ length: count }, (_, pixel) => {
    const centre = start + (pixel + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), size);
    const weights = Array.from({ length: end - first }, (_, i) =>
      Math.max(1 - Math.abs(first + i + 0.5 - centre) / reach, 0),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}
