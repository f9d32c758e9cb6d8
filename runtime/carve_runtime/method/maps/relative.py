"""ViCrop's relative attention ("MLLMs Know Where to Look", arXiv 2502.17422, section 5).

ViCrop takes one layer and the first step; here ``layers`` and ``steps`` say which. What is left as
a difference to CARVE's contrast is the regulariser, which it does not have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_runtime.method.maps.rows import Fusion, Rows, common_maps, fuse


def relative(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return the question's attention divided by the general instruction's.

    An attention that was rounded to 0 counts as the least normal number.
    """
    question, general = common_maps(rows.question, rows.general[0], fusion.steps)
    ratio = question / np.maximum(general, np.finfo(np.float32).tiny)
    return fuse(ratio, fusion.steps)
