"""From the attention of two passes to the regions that a question points to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.method.geometry import Window
from carve_runtime.method.regions import select_regions


def locate(
    question_attention: NDArray[np.float32],
    general_attention: NDArray[np.float32],
    settings: Settings,
    *,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    window: Window,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return saliency and mask, both (H, W): steps 3 to 6 of ``docs/method.md``.

    Args:
        question_attention: (T_Q, L, N) for the layers in ``settings.layers``.
        general_attention: (T_G, L, N), the same for the general instruction.
        settings: all of them but those of the final pass are used.
        grid: (rows, columns) of image tokens.
        image_size: (W, H) in pixels.
        window: the part of the image that the grid covers.

    Raises:
        SettingsError: the contrast is not finite.
    """
    saliency = fuse_contrast(
        question_attention,
        general_attention,
        grid=grid,
        image_size=image_size,
        layers=range(len(settings.layers)),
        steps=settings.steps,
        contrast=settings.contrast,
        regularizer=settings.regularizer,
        window=window if settings.geometry == "input" else None,
    )
    mask = select_regions(
        saliency,
        mask_top_p=settings.mask_top_p,
        max_regions=settings.max_regions,
        strategy=settings.strategy,
        rule=settings.rule,
        outlier_percent=settings.outlier_percent,
    )
    return saliency, mask
