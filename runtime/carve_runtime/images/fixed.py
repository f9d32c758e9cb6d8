"""Images that are all brought to one size: pad, resize, centre crop."""

from __future__ import annotations

import numpy as np

from carve_models import names
from carve_models.image_rules import FixedImage
from carve_runtime.images.model_input import ModelInput, features_only, normalize
from carve_runtime.images.picture import Frame, Picture, whole
from carve_runtime.method.geometry import RGB


def preprocess_fixed(image: Picture, rule: FixedImage) -> ModelInput:
    """Follow the steps of a :class:`carve_models.image_rules.FixedImage`.

    Args:
        image: of any size.
        rule: the bundle's.
    """
    scale_x = scale_y = 1.0  # pixels of the image per pixel of the pixel array
    frame = whole(image)
    if rule.pad_color is not None:
        frame = _padded_to_square(image, rule.pad_color)
    elif rule.crop is not None:
        frame = _trimmed(image, rule.max_aspect_ratio)
    target = _resized_size(*frame.shape, rule)
    if target is None:
        pixels = image.cut(frame)
    else:
        scale_y, scale_x = frame.shape[0] / target[0], frame.shape[1] / target[1]
        pixels = image.resized(frame, *target, rule.resample)
    x0, y0, _, _ = frame.window
    if rule.crop is not None:
        pixels, crop_left, crop_top = _center_crop(pixels, rule.crop)
        x0, y0 = x0 + crop_left * scale_x, y0 + crop_top * scale_y
    covered_height, covered_width = (side * rule.patch_size for side in rule.grid)
    tokens = rule.grid[0] * rule.grid[1]
    return ModelInput(
        feeds={names.PIXEL_VALUES: normalize(pixels, rule)[None]},
        ids=features_only(tokens),
        map_tokens=np.arange(tokens),
        grid=rule.grid,
        window=(x0, y0, x0 + covered_width * scale_x, y0 + covered_height * scale_y),
    )


def _resized_size(height: int, width: int, rule: FixedImage) -> tuple[int, int] | None:
    if rule.resize_to is not None:
        return rule.resize_to
    if rule.resize_shortest_edge is None:
        return None
    short = rule.resize_shortest_edge
    long = int(short * max(height, width) / min(height, width))
    return (long, short) if width <= height else (short, long)


def _padded_to_square(image: Picture, color: tuple[int, int, int]) -> Frame:
    height, width = image.shape
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return Frame((-left, -top, side - left, side - top), color)


def _trimmed(image: Picture, ratio: float) -> Frame:
    """Cut the ends off a sliver before it grows to gigapixels; the centre crop drops them anyway.

    Users' images are never that thin (``load_image``), a refined image may be.
    """
    height, width = image.shape
    longest = int(ratio * min(height, width))
    x, y = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    return Frame((x, y, min(x + longest, width), min(y + longest, height)))


def _center_crop(pixels: RGB, size: tuple[int, int]) -> tuple[RGB, int, int]:
    """Return the crop and its left and top edge (negative where black was added)."""
    (height, width), (crop_height, crop_width) = pixels.shape[:2], size
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    crop = np.zeros((crop_height, crop_width, 3), np.uint8)
    source = pixels[max(top, 0) : top + crop_height, max(left, 0) : left + crop_width]
    y, x = max(-top, 0), max(-left, 0)
    crop[y : y + source.shape[0], x : x + source.shape[1]] = source
    return crop, left, top
