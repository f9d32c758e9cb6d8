/** Pictures by the browser's own decoders. */
import { CarveError } from "../errors.js";

/**
 * Decode a picture as the method says: orientation applied, colours as stored, transparency over
 * white.
 *
 * @param image an address, encoded bytes, a Blob, or what a canvas can draw (an ImageBitmap, an
 *     element, a canvas, a frame of a video).
 * @returns `{ data, width, height }`, RGBA.
 */
export async function decodeWithBrowser(image, signal) {
  const isAddress = typeof image === "string" || image instanceof URL;
  const source = isAddress ? await fetched(image, signal) : image;
  const isBytes = source instanceof ArrayBuffer || ArrayBuffer.isView(source);
  const blob = isBytes ? new Blob([source]) : source;
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch((cause) => {
    const message = "The image is none that the browser can read. Give a JPEG or PNG.";
    throw new CarveError("image", message, cause);
  });
  try {
    return pixelsOf(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** Draw a bitmap over white at some size, and return its pixels. */
export function pixelsOf(bitmap, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

async function fetched(address, signal) {
  try {
    const response = await fetch(address, { signal });
    if (response.ok) return await response.blob();
    throw new CarveError("image", `${address}: ${response.status}. Check the address.`);
  } catch (error) {
    if (error instanceof CarveError) throw error;
    signal?.throwIfAborted();
    throw new CarveError("image", `${address} cannot be fetched. Check the address.`, error);
  }
}
