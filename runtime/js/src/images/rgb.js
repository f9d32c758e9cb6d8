/** Images as bytes: `{ data, width, height }` with 3 or 4 channels, an ImageData among them. */
import { MIN_SIDE } from "../bundle_format.js";
import { ensure } from "../errors.js";

const WHITE = 255;

/** Whether an image is bytes already, or claims to be. */
export const isPixels = (image) => typeof image === "object" && image !== null && "data" in image;

/** Return an image as `{ data: Uint8Array (height * width * 3), width, height }`, a copy. */
export function toRgb(image, maxAspectRatio) {
  const { data, width, height } = image;
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  const sides = Number.isInteger(width) && Number.isInteger(height);
  ensure(
    isBytes && sides,
    "image",
    "The image is not { data, width, height } with bytes. Decode it first.",
  );
  const shorter = Math.min(width, height);
  ensure(
    shorter >= MIN_SIDE && Math.max(width, height) / shorter <= maxAspectRatio,
    "image",
    `The image is ${width} x ${height} pixels. Give sides of ${MIN_SIDE} or more, with a ` +
      `ratio of at most ${maxAspectRatio}.`,
  );
  const pixels = width * height;
  const channels = data.length / pixels;
  ensure(
    channels === 3 || channels === 4,
    "image",
    `The image has ${data.length} bytes for ${pixels} pixels. Give RGB or RGBA.`,
  );
  return { data: channels === 3 ? Uint8Array.from(data) : overWhite(data, pixels), width, height };
}

/** Lay transparency over white. */
function overWhite(rgba, pixels) {
  const rgb = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    const alpha = rgba[4 * i + 3];
    for (let c = 0; c < 3; c++) {
      const value = rgba[4 * i + c];
      rgb[3 * i + c] =
        alpha === 255 ? value : Math.round((value * alpha + WHITE * (255 - alpha)) / 255);
    }
  }
  return rgb;
}
