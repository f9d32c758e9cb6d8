"""A picture before the first step of an image rule: pixels that exist, or pixels that need not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from carve_models.image_rules import Resample
from carve_runtime.method.geometry import RGB, Box, Window

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class Frame:
    """What is cut out of a picture before it is resized.

    Attributes:
        box: in pixels of the picture; where it reaches beyond, the colour is seen.
        color: red, green, blue.
    """

    box: Box
    color: tuple[int, int, int] = (0, 0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        left, top, right, bottom = self.box
        return bottom - top, right - left

    @property
    def window(self) -> Window:
        """The box, where positions may be fractions."""
        left, top, right, bottom = (float(edge) for edge in self.box)
        return left, top, right, bottom


class Picture(Protocol):
    """What every image rule can begin with."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""

    def cut(self, frame: Frame) -> RGB:
        """Return what the frame shows, (height, width, 3) uint8."""

    def resized(self, frame: Frame, height: int, width: int, resample: Resample) -> RGB:
        """Return the same, resized with Pillow's filter."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture whose pixels are there, (H, W, 3) uint8: every step is exact."""

    array: RGB

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.array.shape[:2]
        return height, width

    def cut(self, frame: Frame) -> RGB:
        """Return what the frame shows; a view where it lies within the picture."""
        left, top, right, bottom = frame.box
        inside = self.array[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if inside.shape[:2] == frame.shape:
            return inside
        canvas = np.empty((*frame.shape, 3), np.uint8)
        canvas[:] = frame.color
        y, x = max(-top, 0), max(-left, 0)
        canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return canvas

    def resized(self, frame: Frame, height: int, width: int, resample: Resample) -> RGB:
        """Return what the frame shows, resized as ``Image.resize`` does."""
        return resize(self.cut(frame), height, width, resample)


def whole(picture: Picture) -> Frame:
    """Return the frame that shows all of a picture and nothing else."""
    height, width = picture.shape
    return Frame((0, 0, width, height))


def resize(pixels: RGB, height: int, width: int, resample: Resample) -> RGB:
    """Resize an (h, w, 3) uint8 array with Pillow."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((width, height), FILTERS[resample]))
