"""Spread a map of tokens over the pixels of the image (``docs/method.md``, 4)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import SettingsError
from carve_runtime.method.geometry import Window

_SAME = 1e-6  # pixels

#: Columns that are resized and copied at a time: the rows of so many stay in a processor's cache.
_STRIP = 64

_Edges = tuple[float, float, float, float]


def place(
    fused: NDArray[np.float64], image_size: tuple[int, int], window: Window | None
) -> NDArray[np.float32]:
    """Resize the grid over its window; pixels whose centre lies outside it become NaN.

    Args:
        fused: (rows, columns), one value for each token.
        image_size: (W, H) in pixels.
        window: the part of the image that the grid covers; the whole image if ``None``.

    Returns:
        (H, W) float32: Pillow resizes in single precision.

    Raises:
        SettingsError: the window covers no pixel.
    """
    width, height = image_size
    rows, columns = fused.shape
    if window is None or np.allclose(window, (0, 0, width, height), rtol=0, atol=_SAME):
        saliency = np.empty((height, width), np.float32)
        _resize_into(saliency, fused.astype(np.float32), (0, 0, columns, rows))
        return saliency
    x0, y0, x1, y1 = window
    left, right = _pixels_within(x0, x1, width)
    top, bottom = _pixels_within(y0, y1, height)
    if not (left < right and top < bottom):
        raise SettingsError(
            f"the window {window} covers no pixel of the {width} x {height} image",
            "give a window that overlaps the image",
        )
    per_x, per_y = columns / (x1 - x0), rows / (y1 - y0)
    # A pixel may reach beyond the window's edge: repeat the outer tokens, as clamping would.
    border = max(1, math.ceil(max(per_x, per_y)))
    box = (
        (left - x0) * per_x + border,
        (top - y0) * per_y + border,
        (right - x0) * per_x + border,
        (bottom - y0) * per_y + border,
    )
    saliency = np.full((height, width), np.nan, np.float32)
    padded = np.pad(fused.astype(np.float32), border, mode="edge")
    _resize_into(saliency[top:bottom, left:right], padded, box)
    return saliency


def _resize_into(target: NDArray[np.float32], source: NDArray[np.float32], box: _Edges) -> None:
    """Fill ``target`` with what ``Image.resize(box=box)`` makes of ``source``, bilinearly.

    Pillow resizes the rows first and then the columns, each column by itself.
    """
    (height, width), rows = target.shape, len(source)
    left, top, right, bottom = box
    bilinear = Image.Resampling.BILINEAR
    wide = Image.fromarray(source).resize((width, rows), bilinear, box=(left, 0, right, rows))
    for start in range(0, width, _STRIP):
        stop = min(start + _STRIP, width)
        part = wide.crop((start, 0, stop, rows))
        count = stop - start
        tall = part.resize((count, height), bilinear, box=(0, top, count, bottom))
        target[:, start:stop] = np.asarray(tall)


def _pixels_within(start: float, stop: float, size: int) -> tuple[int, int]:
    """Return the half-open range of pixels whose centres lie in ``[start, stop)``."""
    if not math.isfinite(start + stop):
        return 0, 0
    return max(math.ceil(start - 0.5), 0), min(math.ceil(stop - 0.5), size)
