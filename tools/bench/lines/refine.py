"""From two attention arrays to the refined image, against the libraries' share of it alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.method.refine import Refined, refine_pixels
from carve_runtime.method.regions import select_regions
from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import interleave, ratio, spread

_SIZE = 1024, 768
_GRID = 24, 24
_LAYERS = 6
_STEPS = 4
_SHARE = 0.2
_BOUND = 1.5


def measure(context: Context) -> Iterator[Figure]:
    """Yield the ratio at 1,024 x 768."""
    random = np.random.default_rng(0)
    tokens = _GRID[0] * _GRID[1]
    question, general = random.random((2, _STEPS, _LAYERS, tokens), np.float32)
    image = random.integers(0, 256, (_SIZE[1], _SIZE[0], 3), np.uint8)

    def contrast() -> NDArray[np.float64]:
        return fuse_contrast(question, general, grid=_GRID, image_size=_SIZE, layers=range(_LAYERS))

    def ours() -> Refined:
        return refine_pixels(image, select_regions(contrast(), mask_top_p=_SHARE), None)

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
