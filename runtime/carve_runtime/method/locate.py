"""From the attention of two passes to the regions that a question points to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.method.geometry import Window
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.maps import Fusion, Rows, make_map, method_of
from carve_runtime.method.placement import place
from carve_runtime.method.regions import Candidate, select_among


@dataclass(frozen=True)
class View:
    """What the model saw of an image, and as what.

    Attributes:
        grid: (rows, columns) of image tokens.
        image_size: (W, H) in pixels.
        window: the part of the image that the grid covers, in pixels.
    """

    grid: tuple[int, int]
    image_size: tuple[int, int]
    window: Window

    def shrunk(self, scale: float) -> View:
        """Return the view of an image whose sides are so many times as long."""
        size, window = _shrunk(self.image_size, self.window, scale)
        return View(self.grid, size, window)


class Located(NamedTuple):
    """Saliency, made again when somebody reads it, and mask, both (H, W)."""

    saliency: Lazy[NDArray[np.float64]]
    mask: NDArray[np.bool_]


def locate(
    rows: Rows,
    settings: Settings,
    *,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    window: Window,
) -> Located:
    """Return saliency and mask of one image; see :func:`locate_among` and :class:`View`."""
    view = View(grid, image_size, window)
    (located,) = locate_among(rows, settings, [view])
    return located


def locate_among(rows: Rows, settings: Settings, views: Sequence[View]) -> list[Located]:
    """Return saliency and mask of each image: steps 3 to 6 of ``docs/method.md``.

    The contrast, the threshold and the ranking of regions are those of all images together: a mask
    may be empty. Tokens count alike whatever the pixels behind them, so the threshold is taken of
    maps that have as many pixels for each token as the image with fewest has.

    The saliency of the pixels is made again when somebody reads it: in double precision, and kept,
    it would cost more than everything else here.

    Args:
        rows: the attention in the layers ``settings.layers``, as much as the method reads, to the
            tokens of all images, one after the other.
        settings: all of them but those of the final pass are used.
        views: of each image.

    Raises:
        SettingsError: the map is not finite.
    """
    return locate_in(fuse(rows, settings), settings, views)


def fuse(rows: Rows, settings: Settings) -> NDArray[np.float64]:
    """Return the map of all tokens, (N,): steps 3 and 4; arguments as for :func:`locate_among`."""
    fusion = Fusion(settings.steps, settings.regularizer)
    return make_map(method_of(settings), rows, fusion)


def locate_in(
    fused: NDArray[np.float64], settings: Settings, views: Sequence[View]
) -> list[Located]:
    """Do steps 5 and 6 with a map of all tokens, (N,); see :func:`locate_among`."""
    counts = [math.prod(view.grid) for view in views]
    parts = np.split(fused, np.cumsum(counts)[:-1])
    maps = [
        _Map(
            part.reshape(view.grid),
            view.image_size,
            view.window if settings.geometry == "input" else None,
        )
        for part, view in zip(parts, views, strict=True)
    ]
    masks = select_among(
        _candidates(maps),
        mask_top_p=settings.mask_top_p,
        max_regions=settings.max_regions,
        strategy=settings.strategy,
        rule=settings.rule,
        outlier_percent=settings.outlier_percent,
    )
    for mask in masks:
        mask.setflags(write=False)  # pictures are made of it later
    return [Located(Lazy(each.saliency), mask) for each, mask in zip(maps, masks, strict=True)]


@dataclass(frozen=True, eq=False)
class _Map:
    """The saliency of an image's tokens, (rows, columns), and where it lies; see :func:`place`."""

    fused: NDArray[np.float64]
    image_size: tuple[int, int]
    window: Window | None

    @property
    def pixels_per_token(self) -> float:
        """How many pixels of the image a token covers."""
        x0, y0, x1, y1 = self.window or (0, 0, *self.image_size)
        return (x1 - x0) * (y1 - y0) / self.fused.size

    def pixels(self) -> NDArray[np.float32]:
        """Return the saliency of the image's pixels, (H, W)."""
        return place(self.fused, self.image_size, self.window)

    def saliency(self) -> NDArray[np.float64]:
        """Return the same in the precision that callers see."""
        return self.pixels().astype(np.float64)

    def shrunk(self, scale: float) -> NDArray[np.float32]:
        """Return what :meth:`pixels` would of an image whose sides are so many times as long."""
        size, window = _shrunk(self.image_size, self.window or (0, 0, *self.image_size), scale)
        return place(self.fused, size, window)


def _shrunk(
    image_size: tuple[int, int], window: Window, scale: float
) -> tuple[tuple[int, int], Window]:
    """Return size and window of an image whose sides are so many times as long."""
    (width, height), (x0, y0, x1, y1) = image_size, window
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    per_x, per_y = size[0] / width, size[1] / height
    return size, (x0 * per_x, y0 * per_y, x1 * per_x, y1 * per_y)


def _candidates(maps: Sequence[_Map]) -> list[Candidate]:
    """Return maps in which each token counts alike."""
    lowest = min(each.pixels_per_token for each in maps)
    candidates = []
    for each in maps:
        weight = lowest / each.pixels_per_token
        # Where tokens are smaller than pixels, fewer samples than tokens would be left.
        scale = math.sqrt(max(lowest, 1.0) / each.pixels_per_token)
        sample = each.shrunk(scale) if scale < 1 else None
        candidates.append(Candidate(each.pixels(), sample, weight))
    return candidates
