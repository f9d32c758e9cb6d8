/** Turn an image file into pixels. */

// The contrast and the mask are computed at the picture's size, in this page's memory.
const MOST_PIXELS = 2 ** 20;

/**
 * Decode a file as the method says: orientation applied, colours as stored, transparency over white.
 *
 * @returns `{ data, width, height }` in RGBA, and `reduced`: whether it was scaled down.
 */
export async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch((cause) => {
    throw new Error("This file is not a picture that the browser can read. Choose another.", { cause });
  });
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data, width, height, reduced: scale < 1 };
}
