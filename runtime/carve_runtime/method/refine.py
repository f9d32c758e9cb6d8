"""Black out, crop and magnify what is kept (``docs/method.md``, 7)."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from carve_models.errors import SettingsError
from carve_models.settings import require_count
from carve_runtime.images.load import RGB, ImageInput, load_image

#: (x0, y0, x1, y1) in pixels, half-open.
Box: TypeAlias = tuple[int, int, int, int]

#: The refined image may have this many times the pixels of the original, unless told otherwise.
DEFAULT_GROWTH = 4


class Refined(NamedTuple):
    """The refined image, its box in the original, and whether the pixel limit reduced it."""

    image: RGB
    box: Box
    limited: bool


def refine_image(
    image: ImageInput, mask: ArrayLike, *, max_refined_pixels: int | None = None
) -> tuple[RGB, Box]:
    """Return the magnified crop of the kept regions, and its box in the image.

    Args:
        image: anything that :func:`carve_runtime.load_image` reads, (H, W, 3).
        mask: (H, W) bool, the kept pixels.
        max_refined_pixels: upper limit of the result's pixels; ``None`` is four times the
            image's.

    Returns:
        (h, w, 3) uint8, black outside the mask, and the half-open box (x0, y0, x1, y1): the
        whole image if the mask is empty.

    Raises:
        SettingsError: the mask's shape differs from the image's.
        ImageError: the image cannot be read.
    """
    pixels = load_image(image)
    kept = np.asarray(mask, bool)
    if kept.shape != pixels.shape[:2]:
        raise SettingsError(
            f"the mask has shape {kept.shape} and the image {pixels.shape[:2]}",
            "make the mask from this image",
        )
    refined = refine_pixels(pixels, kept, max_refined_pixels)
    return refined.image, refined.box


def refine_pixels(
    pixels: RGB,
    mask: NDArray[np.bool_],
    max_refined_pixels: int | None = None,
    final_pixels: int | None = None,
) -> Refined:
    """Do what :func:`refine_image` does, on arrays that are known to fit.

    Args:
        pixels: as there.
        mask: as there.
        max_refined_pixels: as there.
        final_pixels: the final pass sees no more, so that more need not be made.
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
