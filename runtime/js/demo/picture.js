/** Turn an image file into pixels, few enough for this page. */
import { pixelsOf } from "../src/images/browser.js";

// The contrast and the mask are computed at the picture's size, in this page's memory.
const MOST_PIXELS = 2 ** 20;

/**
 * Decode a file as the method says: orientation applied, colours as stored, transparency over white.
 *
 * @returns `{ data, width, height }` in RGBA, and `full`: the size that it was reduced from, or null.
 */
export async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch((cause) => {
    throw new Error("This file is not a picture that the browser can read. Choose another.", {
      cause,
    });
  });
  const full = { width: bitmap.width, height: bitmap.height };
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (full.width * full.height)));
  const side = (length) => Math.max(1, Math.round(length * scale));
  const pixels = pixelsOf(bitmap, side(full.width), side(full.height));
  bitmap.close();
  return { ...pixels, full: scale < 1 ? full : null };
}
