"""Properties of threshold and regions, against scipy's labels."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from carve_models.settings import Strategy
from carve_runtime import SettingsError, select_regions

# Few distinct values: many ties, which the order of regions must resolve.
maps = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
)


def by_the_book(saliency: Any, p: float, k: int, strategy: str, rule: str, outlier: float) -> Any:
    """Steps 5 and 6 of docs/method.md, literally."""
    mask = saliency >= np.percentile(saliency, (1 - p) * 100)
    labels, count = ndimage.label(mask)
    regions = [labels == index for index in range(1, count + 1)]
    if strategy == "remove_small":
        smallest = int(mask.sum() * outlier / 100)
        kept = [region for region in regions if region.sum() >= smallest]
    else:
        score = {"size": lambda r: r.sum(), "attention_sum": lambda r: saliency[r].sum()}[strategy]
        keep = max(k, int(count * p)) if rule == "released" else k
        kept = sorted(regions, key=score, reverse=True)[:keep]
    return np.logical_or.reduce(kept, axis=0, initial=False)


@given(
    saliency=maps,
    p=st.floats(0.01, 1.0),
    k=st.integers(1, 4),
    strategy=st.sampled_from(["attention_sum", "size", "remove_small"]),
    rule=st.sampled_from(["released", "paper"]),
    outlier=st.sampled_from([0.0, 0.1, 20.0, 100.0]),
)
@settings(max_examples=400, deadline=None)
def test_regions_follow_the_method(
    saliency: Any, p: float, k: int, strategy: Any, rule: Any, outlier: float
) -> None:
    mask = select_regions(
        saliency,
        mask_top_p=p,
        max_regions=k,
        strategy=strategy,
        rule=rule,
        outlier_percent=outlier,
    )
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, by_the_book(saliency, p, k, strategy, rule, outlier))


#: Maps of more values than are sorted, in orders that a sample of them meets by chance, or misses.
LARGE: dict[str, Any] = {
    "noise": np.random.default_rng(0).random((300, 400)),
    "ascending": np.arange(120_000.0).reshape(300, 400),
    "few values": np.random.default_rng(1).integers(0, 5, (300, 400)) / 3,
    "what a sample misses": np.where(np.arange(120_000) % 7, 1.0, 0.0).reshape(300, 400),
    "smooth": np.sin(np.arange(300) / 50)[:, None] * np.cos(np.arange(400) / 31),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [1.0, 0.999, 0.5, 0.2, 0.08, 1e-4, 1e-6])
def test_the_percentile_of_a_large_map(name: str, dtype: Any, share: float) -> None:
    """As numpy computes it in double precision, whatever the map is stored in."""
    saliency = LARGE[name].astype(dtype)
    wide = saliency.astype(np.float64)
    expected = wide >= np.percentile(wide, (1 - share) * 100)
    options: Any = {"mask_top_p": share, "strategy": "remove_small", "outlier_percent": 0.0}
    np.testing.assert_array_equal(select_regions(saliency, **options), expected)


@pytest.mark.parametrize("strategy", ["attention_sum", "size"])
def test_single_precision_changes_nothing(strategy: Strategy) -> None:
    saliency = LARGE["smooth"].astype(np.float32)
    expected = select_regions(saliency.astype(np.float64), strategy=strategy, max_regions=2)
    actual = select_regions(saliency, strategy=strategy, max_regions=2)
    np.testing.assert_array_equal(actual, expected)
    assert 0 < actual.mean() < 0.2  # not all regions are kept


@pytest.mark.parametrize("strategy", ["attention_sum", "size", "remove_small"])
def test_nan_is_never_kept(strategy: Strategy) -> None:
    saliency = np.random.default_rng(0).random((20, 30))
    saliency[:, 18:] = np.nan
    mask = select_regions(saliency, mask_top_p=1.0, max_regions=9, strategy=strategy)
    assert mask[:, :18].all()
    assert not mask[:, 18:].any()


def test_the_share_is_of_what_was_seen() -> None:
    saliency = np.random.default_rng(0).random((20, 30)) - 0.5
    saliency[:, 18:] = np.nan
    options: Any = {"strategy": "remove_small", "outlier_percent": 0.0}
    for share in (0.25, 0.75):
        assert select_regions(saliency, mask_top_p=share, **options).sum() == share * 20 * 18


def test_the_two_rules_differ() -> None:
    saliency = np.zeros((8, 8))
    saliency[::2, ::2] = np.arange(1, 17).reshape(4, 4)  # 16 single-pixel regions
    options: Any = {"mask_top_p": 0.25, "max_regions": 2}
    assert select_regions(saliency, rule="paper", **options).sum() == 2
    assert select_regions(saliency, rule="released", **options).sum() == 4


@pytest.mark.parametrize(
    ("saliency", "options", "message"),
    [
        (np.zeros(4), {}, "shape"),
        (np.full((3, 3), np.nan), {}, "finite"),
        (np.array([[1.0, np.inf], [0.0, 1.0]]), {}, "3 finite"),
        (np.array([[1.0, -np.inf], [0.0, np.nan]]), {}, "2 finite"),
        (np.zeros((3, 3)), {"mask_top_p": 1.5}, "mask_top_p is 1.5"),
        (np.zeros((3, 3)), {"mask_top_p": float("nan")}, "mask_top_p"),
        (np.zeros((3, 3)), {"max_regions": 0}, "max_regions is 0"),
        (np.zeros((3, 3)), {"strategy": "best"}, "attention_sum, size, remove_small"),
        (np.zeros((3, 3)), {"rule": "mine"}, "released, paper"),
        (np.zeros((3, 3)), {"outlier_percent": -1}, "outlier_percent"),
    ],
)
def test_wrong_arguments(saliency: Any, options: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        select_regions(saliency, **options)
