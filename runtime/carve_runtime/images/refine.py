"""Refine an image of any kind: step 7 of ``docs/method.md`` for callers that have a mask."""

from __future__ import annotations

from numpy.typing import ArrayLike

from carve_models.errors import SettingsError
from carve_runtime.images.load import ImageInput, load_image
from carve_runtime.method.geometry import RGB, Box, real_array
from carve_runtime.method.refine import refine_pixels


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
        SettingsError: the mask is none, or its shape differs from the image's.
        ImageError: the image cannot be read.
    """
    pixels = load_image(image)
    kept = real_array("mask", mask, bool)
    if kept.shape != pixels.shape[:2]:
        raise SettingsError(
            f"the mask has shape {kept.shape} and the image {pixels.shape[:2]}",
            "make the mask from this image",
        )
    refined = refine_pixels(pixels, kept, max_refined_pixels)
    return refined.image, refined.box
