"""Where in a clip the answer lies: an interval first, then one box inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.images.model_input import ModelInput
from carve_runtime.method.geometry import Box, bounding_box
from carve_runtime.method.locate import View, locate_in
from carve_runtime.video.clip import Seen
from carve_runtime.video.over_time.interval import (
    ClipSettings,
    Interval,
    choose_interval,
    edges_between,
    mass_over_time,
)

#: Regions are found in maps of at most so many samples for each token of the longer side: maps of
#: whole frames, one for each moment, would fill the memory.
_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class Focus:
    """What a question points to.

    Attributes:
        saliency: (moments, rows, columns), ``S`` of each token.
        mass: (moments,), the share of the saliency that each moment holds.
        interval: when.
        box: where, half-open (x0, y0, x1, y1) in pixels of the frames: around the regions of all
            moments of the interval.
    """

    saliency: NDArray[np.float64]
    mass: NDArray[np.float64]
    interval: Interval
    box: Box


def find_focus(
    fused: NDArray[np.float64],
    seen: Seen,
    model_input: ModelInput,
    settings: Settings,
    clip_settings: ClipSettings,
) -> Focus:
    """Choose the interval, then the regions of its moments with one threshold for them.

    Args:
        fused: (N,), the map of all moments, one after the other.
        seen: what the moments show.
        model_input: of any moment; all are alike.
        settings: of the maps.
        clip_settings: of the refinement.
    """
    moments, grid = len(seen.moments), model_input.grid
    mass = mass_over_time(fused, moments, settings.mask_top_p)
    edges = edges_between(seen.moments, seen.count)
    interval = choose_interval(mass, edges, seen.fps, clip_settings)
    saliency = fused.reshape(moments, *grid)
    first, stop = interval.moments
    view = View(grid, seen.size, model_input.window)
    view = view.shrunk(min(1.0, _SAMPLES * max(grid) / max(seen.size)))
    located = locate_in(saliency[first:stop].ravel(), settings, [view] * (stop - first))
    union = np.logical_or.reduce([each.mask for each in located])
    return Focus(saliency, mass, interval, _enlarged(bounding_box(union), view, seen.size))


def _enlarged(box: Box, view: View, size: tuple[int, int]) -> Box:
    """Return a box of a shrunk view in the frames' own pixels, rounded outwards."""
    x0, y0, x1, y1 = box
    per_x, per_y = (whole / small for whole, small in zip(size, view.image_size, strict=True))
    return (
        math.floor(x0 * per_x),
        math.floor(y0 * per_y),
        min(math.ceil(x1 * per_x), size[0]),
        min(math.ceil(y1 * per_y), size[1]),
    )
