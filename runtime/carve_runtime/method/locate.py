"""From the attention of two passes to the regions that a question points to."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.method.geometry import Window
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.maps import Fusion, Rows, make_map, method_of
from carve_runtime.method.placement import place
from carve_runtime.method.regions import select_regions


def locate(
    rows: Rows,
    settings: Settings,
    *,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    window: Window,
) -> tuple[Lazy[NDArray[np.float64]], NDArray[np.bool_]]:
    """Return saliency and mask, both (H, W): steps 3 to 6 of ``docs/method.md``.

    The saliency of the pixels is made again when somebody reads it: in double precision, and kept,
    it would cost more than everything else here.

    Args:
        rows: the attention in the layers ``settings.layers``, as much as the method reads.
        settings: all of them but those of the final pass are used.
        grid: (rows, columns) of image tokens.
        image_size: (W, H) in pixels.
        window: the part of the image that the grid covers.

    Raises:
        SettingsError: the map is not finite.
    """
    fusion = Fusion(settings.steps, settings.regularizer)
    fused = make_map(method_of(settings), rows, fusion).reshape(grid)
    covered = window if settings.geometry == "input" else None
    mask = select_regions(
        place(fused, image_size, covered),
        mask_top_p=settings.mask_top_p,
        max_regions=settings.max_regions,
        strategy=settings.strategy,
        rule=settings.rule,
        outlier_percent=settings.outlier_percent,
    )
    mask.setflags(write=False)  # pictures are made of it later
    return Lazy(partial(_saliency, fused, image_size, covered)), mask


def _saliency(
    fused: NDArray[np.float64], image_size: tuple[int, int], window: Window | None
) -> NDArray[np.float64]:
    return place(fused, image_size, window).astype(np.float64)
