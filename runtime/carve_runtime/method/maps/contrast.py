"""CARVE's contrast (arXiv 2509.06461, eq. 4.5 and 4.6; ``docs/method.md``, steps 3 and 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Auto
from carve_runtime.method.automatic import automatic_regularizer, general_explains
from carve_runtime.method.maps.rows import Fusion, Maps, Rows, common_maps, fuse


def contrast(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return ``A_Q / (A_G + lambda)``, summed over layers and weighted steps."""
    question, general = common_maps(rows.question, rows.general[0], fusion.steps)
    return fuse(divide(question, general, fusion.regularizer), fusion.steps)


def contrast_where_explained(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return the contrast where the general attention explains the question's, else that alone.

    Ours (``docs/method.md``, "Automatic settings").
    """
    question, general = common_maps(rows.question, rows.general[0], fusion.steps)
    if general_explains(question, general):
        question = divide(question, general, fusion.regularizer)
    return fuse(question, fusion.steps)


def divide(question: Maps, general: Maps, regularizer: float | Auto) -> Maps:
    """Return the contrast of each map, infinite or NaN where it is."""
    if isinstance(regularizer, str):
        added: Any = automatic_regularizer(question, general)
    else:
        added = np.float32(regularizer)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(question / (general + added))
