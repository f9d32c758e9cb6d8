/** How much a picture has changed, as the model sees it. */
import { CHANGE_CELL, PIXEL_VALUES } from "../bundle_format.js";
import { ensure } from "../errors.js";

const COLORS = 3;
const HIGHEST_LEVEL = 255;

/**
 * Return the mean absolute difference of the cell that differs most, in levels of 255.
 *
 * @param before what the vision encoder takes of an image, see Embedder.see.
 * @param after of another one of the same size.
 * @param rule the bundle's image rule.
 */
export function changeBetween({ feeds: before }, { feeds: after }, rule) {
  const [old, now] = [before[PIXEL_VALUES], after[PIXEL_VALUES]];
  const same = old.dims.length === now.dims.length && old.dims.every((n, i) => n === now.dims[i]);
  ensure(same, "bundle", "The bundle makes images of one size into different ones. Export again.");
  const [count, planes, height, width] = asPictures(old.dims, rule);
  const factor = rule.rescale_factor ?? 1 / HIGHEST_LEVEL;
  const levels = (rule.std ?? Array(COLORS).fill(1)).map((deviation) => deviation / factor);
  let most = 0;
  for (let picture = 0; picture < count; picture++) {
    for (let top = 0; top < height; top += CHANGE_CELL) {
      for (let left = 0; left < width; left += CHANGE_CELL) {
        most = Math.max(most, cellChange(picture * planes, top, left));
      }
    }
  }
  return most;

  /** The mean over the planes of one cell; those at the edges may be smaller. */
  function cellChange(first, top, left) {
    const [bottom, right] = [
      Math.min(top + CHANGE_CELL, height),
      Math.min(left + CHANGE_CELL, width),
    ];
    let sum = 0;
    for (let plane = 0; plane < planes; plane++) {
      const level = levels[Math.floor((plane * COLORS) / planes)];
      for (let y = top; y < bottom; y++) {
        const row = ((first + plane) * height + y) * width;
        for (let x = row + left; x < row + right; x++) {
          sum += level * Math.abs(now.data[x] - old.data[x]);
        }
      }
    }
    return sum / (planes * (bottom - top) * (right - left));
  }
}

/** Return count, planes, height and width of pixel values, which may be packed patches. */
function asPictures(dims, { patch_size: side }) {
  if (dims.length > 2) return dims;
  const [patches, values] = dims;
  return [patches, values / side ** 2, side, side];
}
