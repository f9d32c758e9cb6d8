"""easy-VQA's images as views: the crop shows what it shows of the image, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.research.pocket.world.easy import image_paths, load_pair
from tools.research.pocket.world.views import SIDE, View


def center(view: View, item: Any) -> NDArray[np.int64]:
    x, y = (int(np.clip(item[axis], 0, SIDE - 1)) for axis in ("x", "y"))
    return np.asarray(view.pixels[y, x], np.int64)


def test_a_crop_keeps_its_objects_colour_where_it_says_that_it_lies() -> None:
    rng, compared = np.random.default_rng(0), 0
    for number in sorted(image_paths("train"))[:40]:
        whole, crop = load_pair(rng, "train", number)
        assert len(crop.objects) <= len(whole.objects) <= 1
        for item in crop.objects:
            actual, expected = center(crop, item), center(whole, whole.objects[0])
            inside = min(item["x"], item["y"]) >= 0 and max(item["x"], item["y"]) < SIDE
            if inside and actual.any():  # black is what the mask removed
                assert np.abs(actual - expected).max() < 25
                compared += 1
    assert compared >= 5


def test_a_crop_is_reproducible() -> None:
    number = min(image_paths("train"))
    first, second = (load_pair(np.random.default_rng(3), "train", number)[1] for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
