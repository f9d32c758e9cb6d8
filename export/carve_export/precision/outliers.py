"""Find inputs of products that 8 bits cannot hold: huge values leave too few steps for the rest.

Language models put such values into single positions or channels (LLM.int8(), arXiv:2208.07339).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from carve_export.precision.calibration import Feeds
from carve_export.precision.probe import fetch, probing_session

#: Mean of a vector's squared error, relative to its square. On the first 300 tokens of
#: tools/research/precision/text.txt, SmolLM2-135M in dynamic int8 has a perplexity of 28.3 with
#: this limit, 29.7 with 0.01 and 42.4 without one; in float32 27.8.
_MOST_LOST = 3e-3
_STEPS = 255


def with_outliers(
    model: onnx.ModelProto, tensors: Iterable[str], feeds: Feeds, *, fixed: bool
) -> set[str]:
    """Return the tensors whose vectors lose too much in 8 bits.

    Args:
        model: the graph, in float32.
        tensors: inputs of products, by name; their last dimension is that of a vector.
        feeds: recorded inputs of the graph.
        fixed: one symmetric scale serves all runs, instead of one for each run.
    """
    names = list(dict.fromkeys(tensors))
    session = probing_session(model, outputs=names)
    largest = dict.fromkeys(names, 0.0)
    if fixed:
        for run in feeds:
            for name, array in fetch(session, names, run).items():
                largest[name] = max(largest[name], float(np.abs(array).max()))
    lost: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for run in feeds:
        for name, array in fetch(session, names, run).items():
            ends = (-largest[name], largest[name]) if fixed else (array.min(), array.max())
            lost[name].append(_lost(array, *ends))
    return {name for name in names if np.concatenate(lost[name]).mean() > _MOST_LOST}


def _lost(array: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Return the relative squared error of each vector, in equal steps over a range and 0."""
    vectors = array.reshape(-1, array.shape[-1]).astype(np.float64)
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / _STEPS or 1.0
    errors = np.rint(vectors / step) * step - vectors
    squares = np.square(vectors).sum(axis=1)
    result: NDArray[np.float64] = np.square(errors).sum(axis=1) / np.where(squares, squares, 1.0)
    return result
