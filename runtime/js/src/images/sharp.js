/** Pictures in Node, by the package sharp, which is yours to install. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { CarveError } from "../errors.js";

const SIXTEEN_TO_EIGHT = 257; // 65535 / 255

/**
 * Decode a picture as the method says: orientation applied, colours as stored, 16 bits scaled to 8,
 * the first frame of an animation.
 *
 * @param image a path, a file: URL, encoded bytes (a Buffer, an ArrayBuffer) or a Blob.
 * @returns `{ data, width, height }`, RGB or RGBA.
 */
export async function decodeWithSharp(image, signal) {
  const bytes = await bytesOf(image, signal);
  const sharp = await importSharp();
  try {
    const picture = sharp(bytes, { ignoreIcc: true }).autoOrient();
    const { channels, depth } = await picture.metadata();
    const sixteen = channels === 1 && depth === "ushort"; // of more channels decoders keep 8 bits
    const raw = sixteen
      ? picture.toColourspace("grey16").raw({ depth })
      : picture.toColourspace("srgb").raw();
    const { data, info } = await raw.toBuffer({ resolveWithObject: true });
    const values = sixteen ? toEight(data) : data;
    return { data: coloured(values, info.channels), width: info.width, height: info.height };
  } catch (error) {
    const message = `The image cannot be decoded: ${error.message}. Give a JPEG, PNG or similar.`;
    throw new CarveError("image", message, error);
  }
}

async function bytesOf(image, signal) {
  if (image instanceof Blob) return new Uint8Array(await image.arrayBuffer());
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  if (ArrayBuffer.isView(image)) {
    return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
  }
  try {
    return await readFile(image instanceof URL ? fileURLToPath(image) : image, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new CarveError(
      "image",
      `The image ${image} cannot be read (${error.code}). Check it.`,
      error,
    );
  }
}

async function importSharp() {
  try {
    return (await import("sharp")).default;
  } catch (error) {
    const message =
      "Pictures are decoded by the package sharp, which cannot be loaded. Install it, or pass pixels.";
    throw new CarveError("unsupported", message, error);
  }
}

function toEight(data) {
  const values = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  const rounded = (value) =>
    Math.floor((value + Math.floor(SIXTEEN_TO_EIGHT / 2)) / SIXTEEN_TO_EIGHT);
  return Uint8Array.from(values, rounded);
}

/** Return RGB or RGBA of greys, with or without transparency; colours as they are. */
function coloured(data, channels) {
  if (channels > 2) return data;
  const pixels = data.length / channels;
  const spread = new Uint8Array(pixels * (channels + 2));
  for (let i = 0; i < pixels; i++) {
    const grey = data[i * channels];
    spread.set(
      [grey, grey, grey, ...data.subarray(i * channels + 1, (i + 1) * channels)],
      i * (channels + 2),
    );
  }
  return spread;
}
