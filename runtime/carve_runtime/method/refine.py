"""Black out, crop and magnify what is kept (``docs/method.md``, 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.settings import require_count
from carve_runtime.method.geometry import RGB, Box

#: The refined image may have this many times the pixels of the original, unless told otherwise.
DEFAULT_GROWTH = 4


class Refined(NamedTuple):
    """The refined image, its box in the original, and whether the pixel limit reduced it."""

    image: RGB
    box: Box
    limited: bool


def refine_pixels(
    pixels: RGB,
    mask: NDArray[np.bool_],
    max_refined_pixels: int | None = None,
    final_pixels: int | None = None,
) -> Refined:
    """Black out what is not kept, crop the rest and magnify it.

    Args:
        pixels: (H, W, 3) uint8.
        mask: (H, W) bool, the kept pixels; the whole image if there are none.
        max_refined_pixels: upper limit of the result's pixels; ``None`` is four times the
            image's.
        final_pixels: most pixels that the final pass sees, so that more need not be made.
    """
    x0, y0, x1, y1 = box = bounding_box(mask)
    kept = Image.new("RGB", (x1 - x0, y1 - y0))
    kept.paste(Image.fromarray(pixels[y0:y1, x0:x1]), mask=Image.fromarray(mask[y0:y1, x0:x1]))
    image_size = (pixels.shape[1], pixels.shape[0])
    limit = max_refined_pixels
    if final_pixels is not None:
        most = DEFAULT_GROWTH * image_size[0] * image_size[1] if limit is None else limit
        limit = min(most, final_pixels)
    size, limited = magnified_size((x1 - x0, y1 - y0), image_size, limit)
    magnified = kept.resize(size, Image.Resampling.LANCZOS)
    return Refined(np.asarray(magnified), box, limited)


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the tight half-open box of a mask, or of everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def magnified_size(
    crop_size: tuple[int, int], image_size: tuple[int, int], max_pixels: int | None = None
) -> tuple[tuple[int, int], bool]:
    """Return the size (w, h) that a crop is magnified to, and whether the limit reduced it.

    The crop grows until both sides reach the image's: by ``max(W / w, H / h)``.
    """
    (w, h), (width, height) = crop_size, image_size
    limit = DEFAULT_GROWTH * width * height if max_pixels is None else max_pixels
    require_count("max_refined_pixels", limit)
    scale = max(width / w, height / h)
    size = int(w * scale), int(h * scale)
    if size[0] * size[1] <= limit:
        return size, False
    scale = math.sqrt(limit / (w * h))
    longest = int(limit)
    return (min(max(int(w * scale), 1), longest), min(max(int(h * scale), 1), longest)), True
