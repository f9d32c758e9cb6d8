"""Steps 3 to 6 over several images: one threshold, one ranking, tokens that count alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from carve_models import Settings
from carve_runtime import fuse_contrast
from carve_runtime.method.automatic import automatic_regularizer
from carve_runtime.method.locate import View, locate, locate_among
from carve_runtime.method.maps import Rows
from tests.comparing import assert_close

SETTINGS = Settings(layers=(0, 1), rule="paper", max_regions=3)
GRIDS = [(6, 8), (5, 5), (9, 4)]


def attention(seed: int, tokens: int, steps: int = 2) -> Any:
    """Return (steps, 2, tokens) positive values."""
    random = np.random.default_rng(seed)
    return random.gamma(1.0, 1.0, (steps, 2, tokens)).astype(np.float32) / tokens


def read(question: Any, general: Any) -> Rows:
    return Rows(question, SETTINGS.layers, (general,))


def view(grid: tuple[int, int], scale: float = 10.0) -> View:
    rows, columns = grid
    width, height = int(columns * scale), int(rows * scale)
    return View(grid, (width, height), (0.0, 0.0, float(width), float(height)))


@pytest.mark.parametrize("strategy", ["attention_sum", "size", "remove_small"])
@pytest.mark.parametrize("rule", ["paper", "released"])
def test_regions_of_all_images_compete(strategy: Any, rule: Any) -> None:
    """Against percentile, labels and ranking of the whole, written down once more."""
    settings = replace(SETTINGS, strategy=strategy, rule=rule, outlier_percent=9.0)
    views = [view(grid) for grid in GRIDS]
    counts = [rows * columns for rows, columns in GRIDS]
    question, general = (attention(seed, sum(counts)) for seed in (1, 2))
    located = locate_among(read(question, general), settings, views)

    ends = np.cumsum(counts)[:-1]
    maps = [
        fuse_contrast(q, g, grid=each.grid, image_size=each.image_size, layers=[0, 1])
        for q, g, each in zip(
            np.split(question, ends, axis=2), np.split(general, ends, axis=2), views, strict=True
        )
    ]
    values = np.concatenate([each.ravel() for each in maps])
    threshold = np.percentile(values, (1 - settings.mask_top_p) * 100)  # type: ignore[operator]
    regions = []
    for index, each in enumerate(maps):
        labels, count = ndimage.label(each >= threshold)
        regions += [(index, labels == number + 1) for number in range(count)]
    area = [region.sum() for _, region in regions]
    weight = [maps[index][region].sum() for index, region in regions]
    if strategy == "remove_small":
        kept = [r for r, a in zip(regions, area, strict=True) if a >= int(sum(area) * 0.09)]
    else:
        ranked = np.argsort(-np.array(area if strategy == "size" else weight), kind="stable")
        more = int(len(regions) * 0.2) if rule == "released" else 0
        kept = [regions[place] for place in ranked[: max(3, more)]]
    assert len(kept) < len(regions)
    for index, (saliency, mask) in enumerate(located):
        assert_close(saliency.get(), maps[index], rtol=1e-6)
        expected = np.zeros_like(mask)
        for place, region in kept:
            if place == index:
                expected |= region
        np.testing.assert_array_equal(mask, expected)
        assert not mask.flags.writeable


def test_pixels_of_a_larger_photograph_do_not_count_for_more() -> None:
    """The same two images, one of them photographed with 36 times the pixels."""
    grid = (6, 6)
    question, general = (attention(seed, 72) for seed in (3, 4))
    settings = replace(SETTINGS, max_regions=1, mask_top_p=0.3)
    same = locate_among(read(question, general), settings, [view(grid), view(grid)])
    kept = [bool(mask.any()) for _, mask in same]
    assert kept == [True, False]
    for large in (0, 1):
        views = [view(grid, 60.0 if index == large else 10.0) for index in range(2)]
        located = locate_among(read(question, general), settings, views)
        assert [bool(mask.any()) for _, mask in located] == kept
        shares = [each.mask.mean() for each in located]
        assert_close(shares, [each.mask.mean() for each in same], atol=0.01)
        equal = 1 - large
        np.testing.assert_array_equal(located[equal].mask, same[equal].mask)


def test_one_regularizer_for_all_images() -> None:
    views = [view((4, 4)), view((4, 4))]
    question, general = (attention(seed, 32, steps=1) for seed in (5, 6))
    general[..., 16:] *= 9  # the second image is noisier
    added = automatic_regularizer(question, general)
    expected = (question / (general + added)).sum(axis=(0, 1))
    located = locate_among(read(question, general), replace(SETTINGS, regularizer="auto"), views)
    for part, saliency in zip(np.split(expected, 2), located, strict=True):
        shown = fuse_contrast(
            part[None, None],
            None,
            grid=(4, 4),
            image_size=(40, 40),
            layers=[0],
            contrast="off",
        )
        assert_close(saliency.saliency.get(), shown, rtol=1e-5)


def test_one_image_among_none_is_alone() -> None:
    each = View((6, 8), (123, 77), (10.5, 0.0, 110.0, 77.0))
    question, general = (attention(seed, 48) for seed in (7, 8))
    for strategy in ("attention_sum", "remove_small"):
        settings = replace(SETTINGS, strategy=strategy)
        (located,) = locate_among(read(question, general), settings, [each])
        alone = locate(
            read(question, general),
            settings,
            grid=each.grid,
            image_size=each.image_size,
            window=each.window,
        )
        np.testing.assert_array_equal(located.mask, alone.mask)
        assert np.isnan(located.saliency.get()[:, 0]).all()
