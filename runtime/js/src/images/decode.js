/** From whatever an image is given as to the one array of bytes that boxes and masks refer to. */
import { ensure } from "../errors.js";
import { isPixels, toRgb } from "./rgb.js";

/** Whether an image is something that a decoder may know: never a bare number, null or {}. */
function isEncoded(image) {
  const classes = ["URL", "ArrayBuffer", "Blob", "ImageBitmap", "VideoFrame", "OffscreenCanvas"];
  classes.push("HTMLImageElement", "HTMLCanvasElement", "HTMLVideoElement", "SVGImageElement");
  return (
    typeof image === "string" ||
    ArrayBuffer.isView(image) ||
    classes.some((name) => globalThis[name] && image instanceof globalThis[name])
  );
}

/**
 * Return an image as `{ data: Uint8Array (height * width * 3), width, height }`, a copy.
 *
 * @param image pixels, or what `decode` knows: see ImageInput in index.d.ts.
 * @param options `decode` (undefined where only pixels are taken), `maxAspectRatio`, `signal`.
 */
export async function decoded(image, { decode, maxAspectRatio, signal }) {
  if (isPixels(image)) return toRgb(image, maxAspectRatio);
  const known = decode !== undefined && isEncoded(image);
  ensure(
    known,
    "image",
    decode === undefined
      ? "The image is not { data, width, height }. Load with decode, or pass pixels."
      : "The image is no path, bytes, Blob, bitmap or { data, width, height }. Pass one of them.",
  );
  return toRgb(await decode(image, signal), maxAspectRatio);
}
