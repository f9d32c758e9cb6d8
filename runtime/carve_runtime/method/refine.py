"""Black out, crop and magnify what is kept (``docs/method.md``, 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.settings import MOST_PIXELS, require_count
from carve_runtime.method.geometry import RGB, Box, bounding_box
from carve_runtime.method.lazy import Lazy

#: The refined image may have this many times the pixels of the original, unless told otherwise.
DEFAULT_GROWTH = 4


@dataclass(frozen=True, eq=False)
class Refined:
    """What is kept of an image, and the picture that is made of it when somebody reads it.

    Attributes:
        pixels: (H, W, 3) uint8, the image.
        mask: (H, W) bool, the kept pixels.
        box: their box in the image.
        size: (w, h) of the refined image.
        limited: whether the pixel limit reduced it.
    """

    pixels: RGB
    mask: NDArray[np.bool_]
    box: Box
    size: tuple[int, int]
    limited: bool
    _picture: Lazy[RGB] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        make = partial(_magnify, self.pixels, self.mask, self.box, self.size)
        object.__setattr__(self, "_picture", Lazy(make))

    @property
    def crop_size(self) -> tuple[int, int]:
        """(w, h) of the box."""
        x0, y0, x1, y1 = self.box
        return x1 - x0, y1 - y0

    @property
    def crop(self) -> RGB:
        """The box of the image, black where nothing is kept, (h, w, 3) uint8; made at each call."""
        return _crop(self.pixels, self.mask, self.box)

    @property
    def image(self) -> RGB:
        """The refined image, (h, w, 3) uint8; made at the first call."""
        return self._picture.get()


def refine_pixels(
    pixels: RGB,
    mask: NDArray[np.bool_],
    max_refined_pixels: int | None = None,
    final_pixels: int | None = None,
) -> Refined:
    """Say how an image is blacked out, cropped and magnified.

    Args:
        pixels: (H, W, 3) uint8; must not change any more, like the mask.
        mask: (H, W) bool, the kept pixels; the whole image if there are none.
        max_refined_pixels: upper limit of the result's pixels; ``None`` is four times the
            image's.
        final_pixels: most pixels that the final pass sees, so that more need not be made.
    """
    x0, y0, x1, y1 = box = bounding_box(mask)
    image_size = (pixels.shape[1], pixels.shape[0])
    limit = max_refined_pixels
    if final_pixels is not None:
        most = DEFAULT_GROWTH * image_size[0] * image_size[1] if limit is None else limit
        limit = min(most, final_pixels)
    size, limited = magnified_size((x1 - x0, y1 - y0), image_size, limit)
    return Refined(pixels, mask, box, size, limited)


def magnified_size(
    crop_size: tuple[int, int], image_size: tuple[int, int], max_pixels: int | None = None
) -> tuple[tuple[int, int], bool]:
    """Return the size (w, h) that a crop is magnified to, and whether the limit reduced it.

    The crop grows until both sides reach the image's: by ``max(W / w, H / h)``.
    """
    (w, h), (width, height) = crop_size, image_size
    if max_pixels is not None:
        require_count("max_refined_pixels", max_pixels, most=MOST_PIXELS)
    limit = DEFAULT_GROWTH * width * height if max_pixels is None else max_pixels
    scale = max(width / w, height / h)
    size = int(w * scale), int(h * scale)
    if size[0] * size[1] <= limit:
        return size, False
    scale = math.sqrt(limit / (w * h))
    longest = int(limit)
    return (min(max(int(w * scale), 1), longest), min(max(int(h * scale), 1), longest)), True


def magnify(crop: RGB, size: tuple[int, int]) -> RGB:
    """Return a crop in another size (w, h), resized as the authors' code does."""
    crop = np.ascontiguousarray(crop)
    if size == crop.shape[1::-1]:
        return crop
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.LANCZOS))


def _crop(pixels: RGB, mask: NDArray[np.bool_], box: Box) -> RGB:
    x0, y0, x1, y1 = box
    kept = mask[y0:y1, x0:x1]
    if kept.all():
        return pixels[y0:y1, x0:x1]
    flags = np.repeat(kept, pixels.shape[2], axis=1)  # twice as fast as to broadcast over colours
    flat = pixels[y0:y1, x0:x1].reshape(flags.shape) * flags
    return flat.reshape(*kept.shape, pixels.shape[2])


def _magnify(pixels: RGB, mask: NDArray[np.bool_], box: Box, size: tuple[int, int]) -> RGB:
    return magnify(_crop(pixels, mask, box), size)
