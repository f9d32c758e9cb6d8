"""From two attention arrays to the refined image: in Python, and as a graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from carve_models import names
from carve_runtime.bundle import default_bundle
from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.method.refine import Refined, refine_pixels
from carve_runtime.method.regions import select_regions
from tools.bench.context import Context
from tools.shared.figures import Figure
from tools.shared.timing import interleave, ratio, spread

_SIZE = 1024, 768
_GRID = 24, 24
_LAYERS = 6
_STEPS = 4
_SHARE = 0.2
_BOUND = 1.5
#: Of the graph: side of its picture, token grids by case, and seconds.
_SIDE = 336
_CASES = {"regions of a 24 x 24 grid": _GRID, "every pixel its own token": (_SIDE, _SIDE)}
_GRAPH_BOUND = 0.07  # a first version took as long to find the connected regions alone


def measure(context: Context) -> Iterator[Figure]:
    """Yield the ratio to the libraries' share of the work alone, at 1,024 x 768."""
    random = np.random.default_rng(0)
    tokens = _GRID[0] * _GRID[1]
    question, general = random.random((2, _STEPS, _LAYERS, tokens), np.float32)
    image = random.integers(0, 256, (_SIZE[1], _SIZE[0], 3), np.uint8)

    def contrast() -> NDArray[np.float64]:
        return fuse_contrast(question, general, grid=_GRID, image_size=_SIZE, layers=range(_LAYERS))

    def ours() -> Refined:
        refined = refine_pixels(image, select_regions(contrast(), mask_top_p=_SHARE), None)
        assert refined.image.size  # which is made now
        return refined

    saliency, refined = contrast(), ours()
    grid = Image.fromarray(random.random(_GRID, np.float32))
    mask = saliency >= np.percentile(saliency, 100 * (1 - _SHARE))
    crop, size = Image.fromarray(image).crop(refined.box), refined.image.shape[1::-1]

    def libraries() -> object:
        grid.resize(_SIZE, Image.Resampling.BILINEAR)
        return crop.resize(size, Image.Resampling.LANCZOS), ndimage.label(mask)

    seconds = interleave({"ours": ours, "libraries": libraries}, 3 * context.rounds)
    case = f"{_SIZE[0]} x {_SIZE[1]}"
    yield Figure("refine", case, spread(seconds["ours"]), unit="s")
    value = ratio(seconds["ours"], seconds["libraries"])
    note = "the libraries resize the same map and crop, and label the same mask"
    yield Figure("refine / Pillow and scipy alone", case, value, reach=_BOUND, note=note)


def measure_graph(context: Context) -> Iterator[Figure]:
    """Yield the time of ``carve_refine.onnx`` on one thread, for smooth regions and for noise."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = default_bundle() / names.graph_file(names.CARVE_REFINE)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ways = {case: partial(session.run, None, _graph_inputs(grid)) for case, grid in _CASES.items()}
    for case, seconds in interleave(ways, 3 * context.rounds).items():
        what = f"{_SIDE} x {_SIDE}, {case}"
        yield Figure("carve_refine.onnx", what, spread(seconds), unit="s", reach=_GRAPH_BOUND)


def _graph_inputs(grid: tuple[int, int]) -> dict[str, Any]:
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
