"""easy-VQA's images as views: the crop shows what it shows of the image, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.research.pocket.easy import image_paths, load_pair
from tools.research.pocket.views import SIDE, View


def center(view: View, one: Any) -> NDArray[np.int64]:
    x, y = (int(np.clip(one[axis], 0, SIDE - 1)) for axis in ("x", "y"))
    return np.asarray(view.pixels[y, x], np.int64)


def test_a_crop_keeps_its_objects_colour_where_it_says_that_it_lies() -> None:
    rng, seen = np.random.default_rng(0), 0
    for number in sorted(image_paths("train"))[:40]:
        whole, crop = load_pair(rng, "train", number)
        assert len(crop.objects) <= len(whole.objects) <= 1
        for one in crop.objects:
            found, wanted = center(crop, one), center(whole, whole.objects[0])
            inside = min(one["x"], one["y"]) >= 0 and max(one["x"], one["y"]) < SIDE
            if inside and found.any():  # black is what the mask removed
                assert np.abs(found - wanted).max() < 25
                seen += 1
    assert seen >= 5


def test_a_crop_is_reproducible() -> None:
    number = min(image_paths("train"))
    first, second = (load_pair(np.random.default_rng(3), "train", number)[1] for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
