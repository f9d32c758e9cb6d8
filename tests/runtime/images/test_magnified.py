"""What the model sees of a refined image is what two resizings make of it, within a bound."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from carve_models.image_rules import FixedImage, ImageRule, NativeImage, Resample, TiledImage
from carve_models.names import PIXEL_VALUES
from carve_models.settings import ResizeRefined
from carve_runtime import load_image
from carve_runtime.images.magnified import TWICE_PIXELS, Magnified, seen_of
from carve_runtime.images.picture import Frame, Picture, Pixels
from carve_runtime.images.preprocess import preprocess
from carve_runtime.method import refine
from carve_runtime.method.refine import Refined, refine_pixels
from tests.support import PHOTOS, SCENES

Array = NDArray[Any]
Box = tuple[int, int, int, int]

#: Levels of 256. Where nothing is clipped, roundings remain. At the edges of regions Lanczos
#: overshoots, which two steps clip between them; ``docs/method.md`` states both.
ROUNDED, ROUNDED_MEAN = 3, 0.3
CLIPPED, CLIPPED_MEAN = 40, 0.6

#: Values of pixels are bytes, so that differences are levels.
RAW: dict[str, Any] = {"rescale_factor": 1.0, "mean": None, "std": None}
TILE: dict[str, Any] = {"tile": 112, "tile_grid": (4, 4), **RAW}
RULES: dict[str, ImageRule] = {
    "stretched": FixedImage(
        resize_to=(120, 120), size=(120, 120), grid=(12, 12), patch_size=10, **RAW
    ),
    "cropped": FixedImage(
        resize_shortest_edge=336,
        crop=(336, 336),
        size=(336, 336),
        grid=(24, 24),
        patch_size=14,
        **RAW,
    ),
    "padded with a colour": FixedImage(
        pad_color=(122, 116, 104),
        resize_to=(336, 336),
        size=(336, 336),
        grid=(24, 24),
        patch_size=14,
        **RAW,
    ),
    "native": NativeImage(
        min_pixels=28**2,
        max_pixels=256 * 28**2,
        patch_size=14,
        merge_size=2,
        temporal_patch_size=1,
        **RAW,
    ),
    "longest edge": TiledImage(split="longest_edge", longest_edge=400, **TILE),
    "closest aspect": TiledImage(split="closest_aspect", max_tiles=9, **TILE),
    "one view": TiledImage(split="none", **TILE),
}
FILES = {
    "scene": SCENES / "scene-01.jpg",
    "landscape": PHOTOS / "landscape.jpg",
    "portrait": PHOTOS / "portrait.jpg",
}


def within(pixels: Array, share: float, shape: str) -> Array:
    """Return a mask in the middle of an image: a rectangle, or two discs of which one is small."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5
    if shape == "rectangle":
        return np.asarray((abs(x) < share / 2) & (abs(y) < share / 3))
    large, small = x**2 + y**2 < (share / 2) ** 2, (x - share / 2) ** 2 + y**2 < (share / 5) ** 2
    return np.asarray(large | small)


def differences(refined: Refined, rule: ImageRule) -> Array:
    """Return how far the two ways are apart, in levels; everything else must be equal."""
    once, twice = (preprocess(seen_of(refined, how), rule) for how in ("once", "twice"))
    assert isinstance(seen_of(refined, "once"), Magnified)
    assert (once.grid, once.window) == (twice.grid, twice.window)
    np.testing.assert_array_equal(once.ids, twice.ids)
    return np.asarray(np.abs(once.feeds[PIXEL_VALUES] - twice.feeds[PIXEL_VALUES]))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_only_roundings_where_nothing_is_clipped(name: str, share: float) -> None:
    photo = load_image(FILES["landscape"]) // 2 + 64
    apart = differences(refine_pixels(photo, within(photo, share, "rectangle")), RULES[name])
    assert apart.max() <= ROUNDED
    assert apart.mean() <= ROUNDED_MEAN


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("file", FILES)
def test_the_bound_on_photographs(name: str, file: str) -> None:
    photo = load_image(FILES[file])
    for share in (0.05, 0.3, 0.7):
        apart = differences(refine_pixels(photo, within(photo, share, "discs")), RULES[name])
        assert apart.max() <= CLIPPED
        assert apart.mean() <= CLIPPED_MEAN


@pytest.mark.parametrize("name", ["padded with a colour", "native", "cropped"])
@pytest.mark.parametrize("turned", [False, True])
def test_slivers(name: str, turned: bool) -> None:
    """Of 2 x 640 pixels: thin ones are put on black or trimmed, wide limits apply."""
    photo = load_image(FILES["scene"]) // 2 + 64
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, 300:302] = True
    refined = refine_pixels(photo, mask.T if turned else mask)
    assert differences(refined, RULES[name]).max() <= CLIPPED


@pytest.mark.parametrize("resample", get_args(Resample))
@pytest.mark.parametrize("target", [(20, 300), (500, 31)])
def test_every_filter(resample: Resample, target: tuple[int, int]) -> None:
    photo = load_image(FILES["portrait"]) // 2 + 64
    refined = refine_pixels(photo, within(photo, 0.4, "rectangle"))
    height, width = Magnified(refined).shape
    for frame in (
        Frame((0, 0, width, height)),
        Frame((-9, 40, width - 70, height + 11), (90,) * 3),
    ):
        actual = Magnified(refined).resized(frame, *target, resample)
        expected = Pixels(refined.image).resized(frame, *target, resample)
        assert actual.dtype == np.uint8
        assert np.abs(actual.astype(int) - expected).max() <= ROUNDED


def test_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that no large picture is made there."""
    made: list[tuple[int, int]] = []
    magnify = refine._magnify

    def counted(pixels: Array, mask: Array, box: Box, size: tuple[int, int]) -> Array:
        made.append(size)
        return magnify(pixels, mask, box, size)

    monkeypatch.setattr(refine, "_magnify", counted)

    def seen(
        side: int, how: ResizeRefined, *, border: int = 4, limit: int | None = None
    ) -> type[Picture]:
        mask = np.zeros((side, side), bool)
        mask[border : side - border, border : side - border] = True
        refined = refine_pixels(np.zeros((side, side, 3), np.uint8), mask, limit)
        picture = seen_of(refined, how)
        preprocess(picture, RULES["stretched"])
        return type(picture)

    side = math.isqrt(TWICE_PIXELS)
    assert seen(side, "by_size") is seen(side + 1, "twice") is Pixels
    assert len(made) == 2
    assert seen(side + 1, "by_size") is seen(side, "once") is Magnified
    assert seen(2 * side, "once", border=0, limit=TWICE_PIXELS) is Magnified
    assert len(made) == 2
    assert seen(side, "once", border=0) is Pixels  # there is nothing to resize twice


def test_a_rule_that_resizes_nothing_takes_the_large_picture() -> None:
    photo = load_image(FILES["scene"])
    refined = refine_pixels(photo, within(photo, 0.3, "discs"))
    rule = FixedImage(crop=(336, 336), size=(336, 336), grid=(24, 24), patch_size=14, **RAW)
    assert not differences(refined, rule).any()
