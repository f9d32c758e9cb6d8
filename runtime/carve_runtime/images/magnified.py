"""What a model sees of a refined image, without the refined image.

Magnifying and the model's own resizing are two linear maps of each axis, so the crop can be taken
through their product at once. The two steps differ from it by what they do between: they round to
8 bits, and they clip what Lanczos overshoots at the edges of the kept regions. ``docs/method.md``
("What the final pass sees") has the bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.image_rules import Resample
from carve_models.settings import ResizeRefined
from carve_runtime.images.picture import FILTERS, Frame, Picture, Pixels
from carve_runtime.method.refine import Refined

#: By size, a refined image of at most so many pixels is made, and resized for the model.
TWICE_PIXELS = 1 << 20

#: Inputs to either side that the widest filter of Pillow, Lanczos, makes an output of.
_WIDEST = 3

#: Outputs that are computed at a time: their inputs overlap.
_BLOCK = 8

#: OpenBLAS computes a product of at most so many multiplications on the calling thread
#: (``interface/gemm.c``); its other threads wait actively, which costs more than they help where
#: the cores have other work.
_ONE_THREAD = 1 << 18

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class _Bands:
    """A matrix, zero but for a band: ``weights[i, k]`` is its column ``first[i] + k``."""

    first: NDArray[np.int64]
    weights: Matrix


@dataclass(frozen=True, eq=False)
class Magnified:
    """A refined image of which the model's own size is made directly."""

    refined: Refined

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the refined image."""
        width, height = self.refined.size
        return height, width

    def cut(self, frame: Frame) -> NDArray[np.uint8]:
        """Return what the frame shows; nothing is resized, so the refined image is made."""
        return Pixels(self.refined.image).cut(frame)

    def resized(
        self, frame: Frame, height: int, width: int, resample: Resample
    ) -> NDArray[np.uint8]:
        """Return what the frame shows at another size, within the bound of ``docs/method.md``."""
        crop, (left, top, right, bottom) = self.refined.crop, frame.box
        (magnified_height, magnified_width), (h, w) = self.shape, crop.shape[:2]
        rows = _bands(h, magnified_height, (top, bottom), height, resample)
        columns = _bands(w, magnified_width, (left, right), width, resample)
        # Beyond the picture there is nothing: the colour must be what nothing stands for.
        color = np.asarray(frame.color, np.float32)
        shift = np.tile(color, w) if color.any() else None
        tall = _apply(rows, crop.reshape(h, w * 3), shift).reshape(height, w, 3)
        turned = np.ascontiguousarray(tall.transpose(1, 0, 2)).reshape(w, height * 3)
        values = _apply(columns, turned).reshape(width, height, 3).transpose(1, 0, 2) + color
        return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)  # Pillow rounds halves up


def seen_of(refined: Refined, how: ResizeRefined) -> Picture:
    """Return a refined image as the picture that the model's own steps begin with.

    Args:
        refined: what is kept of an image.
        how: the setting ``resize_refined``.
    """
    width, height = refined.size
    small = how == "by_size" and width * height <= TWICE_PIXELS
    if how == "twice" or small or refined.size == refined.crop_size:
        return Pixels(refined.image)
    return Magnified(refined)


def _bands(
    size: int, magnified: int, span: tuple[int, int], target: int, resample: Resample
) -> _Bands:
    """Return the product of both resizings along one axis.

    Pillow itself applies them to a comb: column k holds 1 at every input that is k modulo the width
    of a band, so that the columns of an output are its weights, one input each.

    Args:
        size: of the crop.
        magnified: of the refined image.
        span: what is seen of it; inputs beyond are zero.
        target: of what the model sees.
        resample: the model's filter.
    """
    start, stop = span
    shrink, step = size / magnified, (stop - start) / target
    reach = (_WIDEST * max(step, 1) + 1) * shrink + _WIDEST * max(shrink, 1) + 1
    width = min(size, 2 * math.ceil(reach) + 1)
    comb = np.zeros((size, width), np.float32)
    comb[np.arange(size), np.arange(size) % width] = 1
    picture = Image.fromarray(comb).resize((width, magnified), Image.Resampling.LANCZOS)
    picture = picture.crop((0, start, width, stop)).resize((width, target), FILTERS[resample])
    centers = ((np.arange(target) + 0.5) * step + start) * shrink
    first = np.clip(np.floor(centers - reach).astype(np.int64), 0, size - width)
    inputs = first[:, None] + np.arange(width)
    return _narrowed(first, np.take_along_axis(np.asarray(picture), inputs % width, axis=1))


def _narrowed(first: NDArray[np.int64], weights: Matrix) -> _Bands:
    """Leave out what is zero at both ends of every band."""
    used = weights != 0
    before = np.where(used.any(axis=1), used.argmax(axis=1), 0)
    behind = np.where(used.any(axis=1), used[:, ::-1].argmax(axis=1), weights.shape[1] - 1)
    width = int((weights.shape[1] - behind - before).max())
    before = np.minimum(before, weights.shape[1] - width)
    return _Bands(
        first + before, np.take_along_axis(weights, before[:, None] + np.arange(width), axis=1)
    )


def _apply(bands: _Bands, values: NDArray[np.generic], shift: Matrix | None = None) -> Matrix:
    """Return (n, a) float32: a banded matrix times (m, a) numbers, less ``shift`` (a,)."""
    outputs, width = bands.weights.shape
    blocks = []
    for start in range(0, outputs, _BLOCK):
        first, weights = bands.first[start : start + _BLOCK], bands.weights[start : start + _BLOCK]
        low = int(first.min())
        dense = np.zeros((len(first), int(first.max()) + width - low), np.float32)
        at = first[:, None] - low + np.arange(width)
        dense[np.arange(len(first))[:, None], at] = weights
        blocks.append((start, low, dense))
    strip = max(_ONE_THREAD // max(dense.size for _, _, dense in blocks), 1)
    result = np.empty((outputs, values.shape[1]), np.float32)
    for left in range(0, values.shape[1], strip):
        columns = slice(left, left + strip)
        part = values[:, columns].astype(np.float32)
        if shift is not None:
            part -= shift[columns]
        for start, low, dense in blocks:
            product = dense @ part[low : low + dense.shape[1]]
            result[start : start + len(dense), columns] = product
    return result
