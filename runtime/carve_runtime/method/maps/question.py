"""The question's attention as it is: what every other method has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_runtime.method.maps.rows import Fusion, Rows, chosen, fuse


def question_alone(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return ``A_Q``, summed over layers and weighted steps."""
    return fuse(chosen(rows.question, fusion.steps), fusion.steps)
