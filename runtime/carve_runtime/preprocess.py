"""From an RGB array to ``pixel_values``, and where in the image the token grid lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import ImageError
from carve_models.manifest import ImageSpec
from carve_runtime.image import RGB

#: (x0, y0, x1, y1) in pixels of the input image; fractions, and positions outside, are possible.
Window: TypeAlias = tuple[float, float, float, float]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class ModelInput:
    """What the model sees of one image.

    Attributes:
        pixel_values: (1, 3, h, w) float32.
        window: the part of the image that the token grid covers.
    """

    pixel_values: NDArray[np.float32]
    window: Window


def require_aspect(image: RGB, spec: ImageSpec) -> None:
    """Raise :class:`ImageError` if the sides' ratio is beyond ``spec.max_aspect_ratio``."""
    height, width = image.shape[:2]
    ratio = max(height, width) / min(height, width)
    if ratio > spec.max_aspect_ratio:
        raise ImageError(
            f"the image's sides, {width} x {height} pixels, have a ratio of {ratio:.0f}",
            f"crop the image to a ratio of at most {spec.max_aspect_ratio:g}",
        )


def preprocess(image: RGB, spec: ImageSpec) -> ModelInput:
    """Follow Hugging Face's Pillow image processors (``PilBackend``) step by step.

    Args:
        image: (H, W, 3) uint8.
        spec: the bundle's rules.
    """
    left = top = 0  # where the image begins in the pixel array, in pixels of the image
    scale_x = scale_y = 1.0  # pixels of the image per pixel of the pixel array
    pixels = image
    if spec.pad_color is not None:
        pixels, left, top = _pad_to_square(image, spec.pad_color)
    elif spec.crop is not None:
        pixels, left, top = _trim(image, spec.max_aspect_ratio)
    target = _resized_size(pixels.shape[0], pixels.shape[1], spec)
    if target is not None:
        scale_y, scale_x = pixels.shape[0] / target[0], pixels.shape[1] / target[1]
        resized = Image.fromarray(pixels).resize(target[::-1], _FILTERS[spec.resample])
        pixels = np.asarray(resized)
    x0, y0 = -float(left), -float(top)
    if spec.crop is not None:
        pixels, crop_left, crop_top = _center_crop(pixels, spec.crop)
        x0, y0 = x0 + crop_left * scale_x, y0 + crop_top * scale_y
    seen_height, seen_width = (side * spec.patch_size for side in spec.grid)
    window = (x0, y0, x0 + seen_width * scale_x, y0 + seen_height * scale_y)
    return ModelInput(_normalize(pixels, spec), window)


def _resized_size(height: int, width: int, spec: ImageSpec) -> tuple[int, int] | None:
    if spec.resize_to is not None:
        return spec.resize_to
    if spec.resize_shortest_edge is None:
        return None
    short = spec.resize_shortest_edge
    long = int(short * max(height, width) / min(height, width))
    return (long, short) if width <= height else (short, long)


def _pad_to_square(image: RGB, color: tuple[int, int, int]) -> tuple[RGB, int, int]:
    height, width = image.shape[:2]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    square = np.empty((side, side, 3), np.uint8)
    square[:] = color
    square[top : top + height, left : left + width] = image
    return square, left, top


def _trim(image: RGB, ratio: float) -> tuple[RGB, int, int]:
    """Cut the ends off a sliver before it grows to gigapixels; the centre crop drops them anyway.

    Users' images are never that thin (:func:`require_aspect`), a refined image may be.
    """
    height, width = image.shape[:2]
    longest = int(ratio * min(height, width))
    x, y = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    return image[y : y + longest, x : x + longest], -x, -y


def _center_crop(pixels: RGB, size: tuple[int, int]) -> tuple[RGB, int, int]:
    """Return the crop and its left and top edge (negative where black was added)."""
    (height, width), (want_height, want_width) = pixels.shape[:2], size
    top, left = (height - want_height) // 2, (width - want_width) // 2
    crop = np.zeros((want_height, want_width, 3), np.uint8)
    source = pixels[max(top, 0) : top + want_height, max(left, 0) : left + want_width]
    y, x = max(-top, 0), max(-left, 0)
    crop[y : y + source.shape[0], x : x + source.shape[1]] = source
    return crop, left, top


def _normalize(pixels: RGB, spec: ImageSpec) -> NDArray[np.float32]:
    values = (pixels.astype(np.float64) * spec.rescale_factor).astype(np.float32)
    if spec.mean is not None and spec.std is not None:
        mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
        values = np.divide(values - mean, std)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])
