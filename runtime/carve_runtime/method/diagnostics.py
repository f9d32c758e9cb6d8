"""Figures that the paper defines to judge an attention map."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from carve_models.errors import SettingsError
from carve_runtime.method.geometry import real_array


def attention_entropy(attention: ArrayLike) -> float:
    """Return the mean entropy over layers, in nats (paper, section 3.2).

    Each row is first normalised to sum to 1: attention that falls on text is not attention spread
    over the image.

    Args:
        attention: (L, N), attention of one step to the image tokens.

    Raises:
        SettingsError: another shape, or no numbers.
    """
    rows = real_array("attention", attention, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise SettingsError(
            f"attention has the shape {rows.shape}", "give one step's (layers, tokens)"
        )
    rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    logs = np.log(rows, where=rows > 0, out=np.zeros_like(rows))
    return float(-(rows * logs).sum(axis=1).mean())
