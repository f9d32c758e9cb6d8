"""Automatic settings: bounds, scale, and the formulas of docs/method.md taken literally."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_models import Settings
from carve_runtime import SettingsError, fuse_contrast, select_regions
from carve_runtime.method.automatic import effective_number
from tests.comparing import assert_close

values = st.integers(0, 10**6).map(lambda number: number / 1000)  # nothing that scales to zero
weights = arrays.arrays(np.float64, st.integers(1, 40), elements=values)
maps = arrays.arrays(np.float64, (7, 9), elements=values)
scales = st.sampled_from([2.0**-40, 0.5, 3.0, 2.0**30])
GRID: Any = {"grid": (4, 4), "image_size": (40, 40), "layers": [0, 1]}


@given(weights=weights, scale=scales)
@settings(deadline=None)
def test_the_effective_number_is_a_number_of_weights(weights: Any, scale: float) -> None:
    number = effective_number(weights)
    assert 1 - 1e-9 <= number <= len(weights) + 1e-9
    assert effective_number(weights * scale) == pytest.approx(number, rel=1e-6)


@given(equal=st.integers(1, 20), zeros=st.integers(0, 20), value=st.floats(1e-200, 1e200))
@settings(deadline=None)
def test_equal_weights_count_in_full(equal: int, zeros: int, value: float) -> None:
    assert effective_number([value] * equal + [0.0] * zeros) == pytest.approx(equal)


@given(saliency=maps, scale=scales)
@settings(deadline=None)
def test_an_automatic_share_is_one_that_could_have_been_given(saliency: Any, scale: float) -> None:
    found = select_regions(saliency, mask_top_p="auto", rule="paper")
    total = saliency.sum()
    share = total**2 / (saliency**2).sum() / saliency.size if total else 1.0
    given = select_regions(saliency, mask_top_p=min(share, 1.0), rule="paper")
    assert found.sum() == pytest.approx(given.sum(), abs=1)
    assert found.any()
    scaled = select_regions(saliency * scale, mask_top_p="auto", rule="paper")
    assert scaled.sum() == pytest.approx(found.sum(), abs=1)


def test_an_even_map_is_kept_whole_and_a_focused_one_is_not() -> None:
    even = np.full((20, 20), 0.3)
    assert select_regions(even, mask_top_p="auto").all()
    focused = np.linspace(0, 1e-3, 400).reshape(20, 20)
    focused[4:8, 4:8] = 1.0
    assert select_regions(focused, mask_top_p="auto", max_regions=1).sum() < 40


def attention(seed: int, shape: tuple[int, ...] = (3, 2, 16)) -> Any:
    values = np.random.default_rng(seed).exponential(size=shape)
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


@given(seed=st.integers(0, 99), steps=st.sampled_from(["first", "all", "last"]))
@settings(deadline=None, max_examples=30)
def test_the_automatic_regularizer_is_unshared_variance_by_mean(seed: int, steps: Any) -> None:
    q, g = attention(seed), attention(seed + 1000)
    added = np.empty((*g.shape[:-1], 1), np.float32)
    for where in np.ndindex(*g.shape[:-1]):
        shared = max(np.corrcoef(q[where], g[where])[0, 1], 0) ** 2
        added[where] = (1 - shared) * g[where].var() / g[where].mean()
    wanted = fuse_contrast(q, g + added, steps=steps, regularizer=0.0, **GRID)
    found = fuse_contrast(q, g, steps=steps, regularizer="auto", **GRID)
    assert_close(found, wanted, rtol=1e-4)


def test_what_both_passes_see_is_divided_out_in_full() -> None:
    noise = attention(1)
    question = noise * 0.3
    saliency = fuse_contrast(question, noise, regularizer="auto", **GRID)
    assert_close(saliency, saliency[0, 0], rtol=1e-4)


@given(seed=st.integers(0, 99), scale=st.sampled_from([2.0**-20, 2.0**-3, 8.0]))
@settings(deadline=None, max_examples=30)
def test_the_scale_of_the_general_attention_does_not_matter(seed: int, scale: float) -> None:
    q, g = attention(seed), attention(seed + 1000)
    found = fuse_contrast(q, g, regularizer="auto", **GRID)
    scaled = fuse_contrast(q, g * np.float32(scale), regularizer="auto", **GRID)
    assert_close(scaled * scale, found, rtol=1e-4)


@given(seed=st.integers(0, 99), steps=st.sampled_from(["first", "all", "last"]))
@settings(deadline=None, max_examples=30)
def test_without_contrast_the_question_stands_alone(seed: int, steps: Any) -> None:
    q = attention(seed)
    wanted = fuse_contrast(q, np.ones_like(q), steps=steps, regularizer=0.0, **GRID)
    found = fuse_contrast(q, None, steps=steps, contrast="off", **GRID)
    assert_close(found, wanted, rtol=1e-6)


def test_a_contrast_is_taken_where_the_passes_share_their_attention() -> None:
    noise, other = attention(1), attention(2)
    question = noise.copy()
    question[..., 5] *= 3
    for general, wanted in ((noise, "on"), (other, "off"), (np.full_like(noise, 0.01), "off")):
        found = fuse_contrast(question, general, contrast="auto", **GRID)
        same = fuse_contrast(question, general, contrast=wanted, **GRID)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("name", ["mask_top_p", "regularizer", "contrast"])
def test_settings_take_auto_and_nothing_else_in_words(name: str) -> None:
    options: Any = {name: "auto"}
    assert getattr(Settings(layers=(0,), **options), name) == "auto"
    options[name] = "automatic"
    with pytest.raises(SettingsError, match=f"{name} is 'automatic'"):
        Settings(layers=(0,), **options)


def test_negative_saliency_needs_numbers() -> None:
    saliency = np.linspace(-1, 1, 12).reshape(3, 4)
    with pytest.raises(SettingsError, match="Give the setting as a number"):
        select_regions(saliency, mask_top_p="auto")
