"""How much a picture has changed, compared with loops over its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import ImageError
from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage
from carve_models.image_rules.tiled import TileMarkup
from carve_runtime import Carve, WatchSettings
from carve_runtime.images.change import CELL, change_between
from carve_runtime.images.native import smart_resize
from carve_runtime.images.preprocess import preprocess
from tests.runtime.watch.camera import record
from tests.support import SCENES
from tools.research.pocket.changes import CASES, measure, pocket_rule

RGB = NDArray[np.uint8]
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
FIXED = FixedImage(
    mean=MEAN, std=STD, resize_to=(62, 45), size=(62, 45), grid=(6, 4), patch_size=10
)
NATIVE = NativeImage(
    mean=MEAN,
    std=STD,
    patch_size=14,
    merge_size=2,
    temporal_patch_size=2,
    min_pixels=28 * 28,
    max_pixels=100 * 28 * 28,
)
TILED = TiledImage(
    mean=None,
    std=None,
    tile=32,
    tile_grid=(2, 2),
    split="closest_aspect",
    min_tiles=1,
    max_tiles=6,
    markup=TileMarkup(begin=(), alone=(), row_end=(), global_view=(), end=()),
)


def resized(image: RGB, height: int, width: int) -> RGB:
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def tiles(pixels: RGB, side: int) -> Iterator[RGB]:
    for top in range(0, pixels.shape[0], side):
        for left in range(0, pixels.shape[1], side):
            yield pixels[top : top + side, left : left + side]


def fixed_views(image: RGB) -> list[RGB]:
    return [resized(image, *FIXED.size)]


def native_views(image: RGB) -> list[RGB]:
    height, width = smart_resize(image.shape[0], image.shape[1], NATIVE)
    return list(tiles(resized(image, height, width), NATIVE.patch_size))


def tiled_views(image: RGB) -> list[RGB]:
    """Two tiles beside each other, for pictures twice as wide as high; and the whole."""
    side = TILED.tile
    return [*tiles(resized(image, side, 2 * side), side), resized(image, side, side)]


def largest(before: list[RGB], after: list[RGB]) -> float:
    """Return the greatest mean absolute difference of a cell."""
    return max(
        float(np.abs(one.astype(float) - other.astype(float)).mean())
        for old, new in zip(before, after, strict=True)
        for one, other in zip(tiles(old, CELL), tiles(new, CELL), strict=True)
    )


@pytest.mark.parametrize(
    ("rule", "views"), [(FIXED, fixed_views), (NATIVE, native_views), (TILED, tiled_views)]
)
def test_the_cell_that_differs_most(rule: ImageRule, views: Callable[[RGB], list[RGB]]) -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (100, 200, 3), np.uint8)
    spotted, red = image.copy(), image.copy()
    spotted[90:97, 190:197] = 255 - spotted[90:97, 190:197]
    red[:8, :8, 0] ^= 255
    for other in (image, spotted, red, image[::-1]):
        before, after = preprocess(image, rule), preprocess(other, rule)
        expected = largest(views(image), views(np.ascontiguousarray(other)))
        assert change_between(before, after, rule) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_noise_is_below_the_default_and_a_small_object_above() -> None:
    changes = {
        label: measure(pocket_rule(), event, camera, scenes=3)
        for label, (event, camera) in CASES.items()
    }
    threshold = WatchSettings().min_change
    for label, values in changes.items():
        if "noise" in label:
            assert max(values) < threshold / 4, label
    assert min(changes["a small object is gone"]) > 1.5 * threshold


def test_a_session_compares_any_picture(pocket: Carve) -> None:
    recording = record()
    with pocket.open(recording.frames[0]) as session:
        assert session.change(recording.frames[0]) == 0
        assert 0 < session.change(Image.fromarray(recording.frames[1])) < 2
        assert session.change(recording.frames[3]) > 50
        assert session.change(recording.frames[0][:-1]) == math.inf
        assert session.change(SCENES / "scene-00.jpg") > 50
        with pytest.raises(ImageError, match="shape"):
            session.change(recording.frames[0][0])
