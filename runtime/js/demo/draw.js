/** Paint what a result holds on canvases of the picture's size. */
import { rowsOf } from "../src/method/attention.js";

// Stops of a black - violet - orange - yellow scale, as in the pictures of carve-run.
const HEAT = [
  [0, 0, 4],
  [66, 10, 104],
  [147, 38, 103],
  [221, 81, 58],
  [252, 165, 10],
  [252, 255, 164],
];
const HEAT_SHARE = 0.65;
const DIMMED = 0.22;
const EDGE = [255, 196, 92];
const LEVELS = 256;

// What each level adds to a pixel: three numbers per level.
const COLORS = new Float32Array(3 * LEVELS);
for (let level = 0; level < LEVELS; level++) {
  const at = (level / (LEVELS - 1)) * (HEAT.length - 1);
  const stop = Math.min(Math.floor(at), HEAT.length - 2);
  const mixed = HEAT[stop].map((low, i) => low + (HEAT[stop + 1][i] - low) * (at - stop));
  COLORS.set(
    mixed.map((value) => value * HEAT_SHARE),
    3 * level,
  );
}

/** Give a canvas a size and return its context. */
function sized(canvas, width, height) {
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** Paint the picture itself. */
export function paintPicture(canvas, { data, width, height }) {
  sized(canvas, width, height).putImageData(new ImageData(data, width, height), 0, 0);
}

/** Paint a refined image, RGB. */
export function paintRefined(canvas, { data, width, height }) {
  const image = new ImageData(width, height);
  const out = image.data;
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    out[to] = data[from];
    out[to + 1] = data[from + 1];
    out[to + 2] = data[from + 2];
    out[to + 3] = 255;
  }
  sized(canvas, width, height).putImageData(image, 0, 0);
}

/** Paint a saliency map, one number per pixel, over the picture. */
export function paintSaliency(canvas, picture, saliency) {
  paintHeat(canvas, picture, levels(saliency));
}

/**
 * Paint attention to the image's tokens over the picture.
 *
 * @param pass `attention` (steps * layers * tokens) and what it is of.
 * @param options `grid` (rows, columns), `window` (what the grid covers, in pixels), `weights` (of
 *     steps), `layers` (of the decoder).
 */
export function paintAttention(canvas, picture, pass, { grid, window, weights, layers }) {
  const [rows, columns] = grid;
  const { attention, tokens } = rowsOf(pass, layers);
  const sum = new Float32Array(tokens);
  weights.slice(0, pass.steps).forEach((weight, step) => {
    for (let layer = 0; layer < layers.length; layer++) {
      const start = (step * layers.length + layer) * tokens;
      for (let i = 0; i < tokens; i++) sum[i] += weight * attention[start + i];
    }
  });
  const [x0, y0, x1, y1] = window;
  const context = sized(canvas, picture.width, picture.height);
  context.drawImage(greys(levels(sum), columns, rows), x0, y0, x1 - x0, y1 - y0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  paintHeat(canvas, picture, data, 4);
}

/** Paint the picture dark outside the mask, with the mask's edge. */
export function paintMask(canvas, { data, width, height }, mask) {
  const image = new ImageData(width, height);
  const out = image.data;
  const reach = Math.max(1, Math.round(width / 320));
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const kept = mask[i];
      const edge =
        kept &&
        !(
          (x < reach || mask[i - reach]) &&
          (x >= width - reach || mask[i + reach]) &&
          (y < reach || mask[i - reach * width]) &&
          (y >= height - reach || mask[i + reach * width])
        );
      const light = kept ? 1 : DIMMED;
      for (let c = 0; c < 3; c++) out[4 * i + c] = edge ? EDGE[c] : data[4 * i + c] * light;
      out[4 * i + 3] = 255;
    }
  }
  sized(canvas, width, height).putImageData(image, 0, 0);
}

/** Scale numbers to 0 .. 255, from the smallest to the largest; NaN to 0. */
function levels(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = (LEVELS - 1) / Math.max(high - low, Number.MIN_VALUE);
  const scaled = new Uint8ClampedArray(values.length); // NaN becomes 0
  for (let i = 0; i < values.length; i++) scaled[i] = (values[i] - low) * scale;
  return scaled;
}

function greys(grey, width, height) {
  const image = new ImageData(width, height);
  grey.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Paint levels over the picture; the next pixel's level is `stride` on. */
function paintHeat(canvas, { data, width, height }, heat, stride = 1) {
  const image = new ImageData(width, height);
  const out = image.data;
  for (let at = 0, i = 0; at < out.length; at += 4, i += stride) {
    const color = 3 * heat[i];
    for (let c = 0; c < 3; c++) out[at + c] = data[at + c] * (1 - HEAT_SHARE) + COLORS[color + c];
    out[at + 3] = 255;
  }
  sized(canvas, width, height).putImageData(image, 0, 0);
}
