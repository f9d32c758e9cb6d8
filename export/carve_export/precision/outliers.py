"""Find inputs of products that 8 bits cannot hold: huge values leave too few steps for the rest.

Language models put such values into single positions or channels (LLM.int8(), arXiv:2208.07339).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from carve_export.precision.calibration import Feeds
from carve_export.precision.stepwise import tensors

#: Mean of a vector's squared error, relative to its square. On the first 300 tokens of
#: tools/research/precision/text.txt, SmolLM2-135M in dynamic int8 has a perplexity of 28.3 with
#: this limit, 29.7 with 0.01 and 42.4 without one; in float32 27.8.
_MOST_LOST = 3e-3
_STEPS = 255


def with_outliers(
    model: onnx.ModelProto, folder: Path, inputs: Iterable[str], feeds: Feeds, *, fixed: bool
) -> set[str]:
    """Return the tensors whose vectors lose too much in 8 bits.

    Args:
        model: the graph, in float32.
        folder: where its weights lie if they do not lie in the graph.
        inputs: of products, by name, in the graph's order; their last dimension is that of a
            vector.
        feeds: recorded inputs of the graph.
        fixed: one symmetric scale serves all runs, instead of one for each run.
    """
    lossy = set()
    for name, arrays in tensors(model, folder, list(dict.fromkeys(inputs)), feeds):
        largest = max(float(np.abs(array).max()) for array in arrays)
        lost = [
            _lost(array, *((-largest, largest) if fixed else (array.min(), array.max())))
            for array in arrays
        ]
        if np.concatenate(lost).mean() > _MOST_LOST:
            lossy.add(name)
    return lossy


def _lost(array: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Return the relative squared error of each vector, in equal steps over a range and 0."""
    vectors = array.reshape(-1, array.shape[-1]).astype(np.float64)
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / _STEPS or 1.0
    errors = np.rint(vectors / step) * step - vectors
    squares = np.square(vectors).sum(axis=1)
    result: NDArray[np.float64] = np.square(errors).sum(axis=1) / np.where(squares, squares, 1.0)
    return result
