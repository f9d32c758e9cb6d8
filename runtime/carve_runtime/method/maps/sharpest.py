"""One layer, chosen for each question: the one whose contrast is sharpest.

LASER ("Beyond Static Cropping", arXiv 2602.04304) found that the layer which points to what a
question asks for differs between questions, and chooses it by how its attention changes with the
query. We keep the idea, not its score: the contrast is that change already, and sharpest is where
the fewest tokens hold it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_runtime.method.automatic import effective_number
from carve_runtime.method.maps.contrast import divide
from carve_runtime.method.maps.rows import Fusion, Rows, common_maps, fuse


def sharpest_layer(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return the contrast of the layer in which the fewest tokens hold it.

    Their number is :func:`~carve_runtime.method.automatic.effective_number`; of equal layers the
    first is taken.
    """
    question, general = common_maps(rows.question, rows.general[0], fusion.steps)
    contrasts = divide(question, general, fusion.regularizer)
    by_layer = [fuse(contrasts[:, [layer]], fusion.steps) for layer in range(contrasts.shape[1])]
    with np.errstate(invalid="ignore"):  # what is not finite is refused later
        return min(by_layer, key=effective_number)
