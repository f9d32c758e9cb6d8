"""The streamed solution is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.comparing import assert_close
from tools.research.pocket_l.fit.ridge import NormalEquations

SHAPES = st.tuples(st.integers(8, 30), st.integers(1, 5), st.integers(1, 4))
SEEDS = st.integers(0, 2**32 - 1)
STRENGTHS = st.sampled_from([1e-6, 1e-3, 0.1, 1.0, 10.0])


Samples = tuple[np.ndarray, np.ndarray]


def samples(shape: tuple[int, int, int], seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    count, features, targets = shape
    x = rng.normal(rng.normal(), 2.0, (count, features))
    return x, x @ rng.normal(size=(features, targets)) + rng.normal(3.0, 1.0, (count, targets))


def equations(x: np.ndarray, y: np.ndarray, pieces: int = 1) -> NormalEquations:
    sums = NormalEquations(x.shape[1], y.shape[1])
    for part_x, part_y in zip(np.array_split(x, pieces), np.array_split(y, pieces), strict=True):
        sums.add(part_x, part_y, np.ones(len(part_x)))
    return sums


@settings(max_examples=60, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS)
def test_the_solution_is_least_squares_with_rows_for_the_penalty(
    shape: tuple[int, int, int], seed: int, strength: float
) -> None:
    x, y = samples(shape, seed)
    fitted = equations(x, y).solve(strength)
    variance = x.var(axis=0).mean()
    penalty = np.sqrt(strength * variance * len(x)) * np.eye(shape[1])
    rows = np.concatenate([x - x.mean(axis=0), penalty])
    expected = np.concatenate([y - y.mean(axis=0), np.zeros((shape[1], shape[2]))])
    weight = np.linalg.lstsq(rows, expected, rcond=None)[0]
    assert_close(fitted.weight, weight, rtol=1e-6, atol=1e-8)
    assert_close(fitted(x).mean(axis=0), y.mean(axis=0), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS, st.integers(1, 6))
def test_pieces_add_up(
    shape: tuple[int, int, int], seed: int, strength: float, pieces: int
) -> None:
    x, y = samples(shape, seed)
    whole, parts = equations(x, y), equations(x, y, pieces)
    assert whole.total == parts.total == len(x)
    assert_close(whole.solve(strength).weight, parts.solve(strength).weight, rtol=1e-7, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS)
def test_explained_is_computed_from_sums_as_from_residuals(
    shape: tuple[int, int, int], seed: int, strength: float
) -> None:
    x, y = samples(shape, seed)
    fresh_x, fresh_y = samples(shape, seed + 1)
    fitted = equations(x, y).solve(strength)
    residual = ((fresh_y - fitted(fresh_x)) ** 2).sum()
    expected = 1 - residual / ((fresh_y - fresh_y.mean(axis=0)) ** 2).sum()
    assert equations(fresh_x, fresh_y).explained(fitted) == pytest.approx(
        expected, rel=1e-6, abs=1e-8
    )


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS, st.sampled_from([1e-3, 7.0, 1e4]))
def test_the_strength_does_not_depend_on_the_features_scale(
    shape: tuple[int, int, int], seed: int, strength: float, scale: float
) -> None:
    x, y = samples(shape, seed)
    left, right = equations(x, y).solve(strength), equations(x * scale, y).solve(strength)
    assert_close(left(x), right(x * scale), rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, STRENGTHS)
def test_a_weight_counts_like_that_number_of_samples(
    shape: tuple[int, int, int], seed: int, strength: float
) -> None:
    x, y = samples(shape, seed)
    times = np.random.default_rng(seed).integers(1, 4, len(x))
    weighted = NormalEquations(x.shape[1], y.shape[1])
    weighted.add(x, y, times)
    repeated = equations(x.repeat(times, axis=0), y.repeat(times, axis=0))
    left, right = weighted.solve(strength), repeated.solve(strength)
    assert_close(left.weight, right.weight, rtol=1e-7, atol=1e-9)
    assert_close(left.bias, right.bias, rtol=1e-7, atol=1e-9)
    assert weighted.explained(left) == pytest.approx(repeated.explained(left))


def test_an_affine_map_is_recovered() -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(50, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    fitted = equations(x, x @ weight + bias).solve(1e-12)
    assert_close(fitted.weight, weight, atol=1e-9)
    assert_close(fitted.bias, bias, atol=1e-9)


def test_an_enormous_strength_leaves_the_mean() -> None:
    x, y = samples((20, 3, 2), 0)
    fitted = equations(x, y).solve(1e9)
    assert np.abs(fitted.weight).max() < 1e-6
    assert_close(fitted.bias, y.mean(axis=0), atol=1e-5)


def test_samples_must_pair_up_and_exist() -> None:
    sums = NormalEquations(2, 1)
    with pytest.raises(ValueError, match="shapes"):
        sums.add(np.zeros((3, 2)), np.zeros((2, 1)), np.ones(3))
    with pytest.raises(ValueError, match="no samples"):
        sums.solve(1.0)
