"""``carve_refine.onnx`` as a whole, one thread: from two attention arrays to the refined image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from carve_models import names
from carve_runtime.bundle import default_bundle
from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import interleave, spread

_SIDE = 336
_SHARE = 0.2
_BOUND = 0.07  # a first version took as long to find the connected regions alone
_CASES = {"regions of a 24 x 24 grid": (24, 24), "every pixel its own token": (_SIDE, _SIDE)}


def measure(context: Context) -> Iterator[Figure]:
    """Yield the graph's time for smooth regions, and for noise: thousands of them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = default_bundle() / names.graph_file(names.CARVE_REFINE)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ways = {case: partial(session.run, None, _feeds(grid)) for case, grid in _CASES.items()}
    for case, seconds in interleave(ways, 3 * context.rounds).items():
        what = f"{_SIDE} x {_SIDE}, {case}"
        yield Figure("carve_refine.onnx", what, spread(seconds), unit="s", reach=_BOUND)


def _feeds(grid: tuple[int, int]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    question, general = random.random((2, 1, 1, grid[0] * grid[1]), np.float32)
    return {
        "question_attention": question,
        "general_attention": general,
        "grid": np.array(grid, np.int64),
        "window": np.array([0, 0, _SIDE, _SIDE], np.float64),
        "image": random.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8),
        "step_weights": np.ones(1),
        "layer_weights": np.ones(1),
        "regularizer": np.array(1e-8),
        "mask_top_p": np.array(_SHARE),
        "max_regions": np.array(3),
        "strategy": np.array(0),
        "rule": np.array(0),
        "outlier_percent": np.array(0.1),
        "max_refined_pixels": np.array(0),
    }
