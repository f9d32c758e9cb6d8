"""Uncertainty of accuracies, and of the difference between two ways to answer the same questions.

Scores are one number per question: right or wrong, or graded between 0 and 1 (VQA accuracy).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from carve_eval.reporting.interval import Interval

CONFIDENCE = 0.95
_RESAMPLES = 9999
#: Resamples drawn at a time; bounds the memory at ``_BATCH`` times the number of clusters.
_BATCH = 250


@dataclass(frozen=True)
class McNemar:
    """Two ways to answer the same questions, compared where exactly one of them is right.

    Attributes:
        only_first: questions that the first alone answers rightly.
        only_second: questions that the second alone answers rightly.
        p_value: two-sided and exact, of the hypothesis that both are equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def wilson_interval(right: int, total: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927).

    Args:
        right: successes, 0 to ``total``.
        total: independent trials, at least 1.
        confidence: coverage, between 0 and 1.

    Raises:
        ValueError: counts out of range.
    """
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"{right} right answers of {total}: give 0 to all of at least one")
    ends = stats.binomtest(right, total).proportion_ci(confidence, method="wilson")
    return Interval(right / total, float(ends.low), float(ends.high))


def bootstrap_interval(
    scores: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return a mean with its percentile bootstrap interval.

    For the difference between two ways to answer, give the differences of their scores. Where all
    scores are equal the interval is a point: for right and wrong alone, :func:`wilson_interval`
    says more.

    Args:
        scores: (n,) numbers, n at least 1.
        clusters: (n,) names; scores of the same name are drawn together. Questions about one image
            are not independent: name the image.
        confidence: coverage, between 0 and 1.
        seed: of the resampling.

    Raises:
        ValueError: no scores, or a number of names that differs from theirs.
    """
    values = _vector(scores)
    names = range(len(values)) if clusters is None else clusters
    sums, counts = _by_cluster(values, names)
    mean = float(values.mean())
    low, high = _resample(sums, counts, confidence, seed)
    return Interval(mean, low, high)


def ratio_interval(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return how many times the first way's mean is the second's, with its bootstrap interval.

    Resamples whose second mean is 0 have an infinite ratio, so the upper end may be infinite.

    Args:
        first: (n,) scores of the first, in the numerator.
        second: (n,) scores of the second, in the same order.
        clusters: (n,) names, as in :func:`bootstrap_interval`.
        confidence: coverage, between 0 and 1.
        seed: of the resampling.

    Raises:
        ValueError: the lengths differ, or the second mean is 0.
    """
    numerator, denominator = _vector(first), _vector(second)
    if numerator.shape != denominator.shape or not denominator.mean():
        raise ValueError("a ratio needs paired scores whose second mean is not 0")
    names = range(len(numerator)) if clusters is None else clusters
    low, high = _resample(
        _by_cluster(numerator, names)[0], _by_cluster(denominator, names)[0], confidence, seed
    )
    return Interval(float(numerator.mean() / denominator.mean()), low, high)


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Compare two ways to answer the same questions with the exact McNemar test.

    Args:
        first: (n,) bool, which questions the first answered rightly.
        second: (n,) bool, the same of the second, in the same order.

    Raises:
        ValueError: the lengths differ, or a score is neither right nor wrong.
    """
    left, right = _vector(first), _vector(second)
    if left.shape != right.shape:
        raise ValueError(f"{len(left)} and {len(right)} answers cannot be paired")
    if not (_is_binary(left) and _is_binary(right)):
        raise ValueError("graded scores have no McNemar test; use sign_flip_test")
    only_first = int(((left == 1) & (right == 0)).sum())
    only_second = int(((left == 0) & (right == 1)).sum())
    unequal = only_first + only_second
    p_value = float(stats.binomtest(only_first, unequal).pvalue) if unequal else 1.0
    return McNemar(only_first, only_second, p_value)


def sign_flip_test(differences: ArrayLike, *, seed: int = 0) -> float:
    """Return the two-sided p-value of paired differences whose mean should be 0.

    The permutation test that swaps the members of pairs: of right and wrong it is McNemar's exact
    test, and it suits graded scores too. Exact up to 13 unequal pairs, beyond by 9,999 random
    swaps.

    Args:
        differences: (n,) score of the second way minus score of the first.
        seed: of the random swaps.
    """
    values = _vector(differences)
    values = values[values != 0]
    if len(values) < 2:
        return 1.0  # both signs of one difference are as far from 0
    test = stats.permutation_test(
        (values,),
        lambda sample, axis: sample.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def paired_p_value(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p-value of two ways to answer: McNemar's where it applies, else the sign flip's.

    Args:
        first: (n,) scores of the first.
        second: (n,) scores of the second, in the same order.

    Raises:
        ValueError: the lengths differ.
    """
    left, right = _vector(first), _vector(second)
    if left.shape != right.shape or (_is_binary(left) and _is_binary(right)):
        return mcnemar(left, right).p_value
    return sign_flip_test(right - left)


def _vector(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"scores have shape {values.shape}; give at least one, in one row")
    return values


def _is_binary(values: NDArray[np.float64]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _by_cluster(
    values: NDArray[np.float64], names: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the scores and their number, of each cluster."""
    if len(names) != len(values):
        raise ValueError(f"{len(values)} scores have {len(names)} cluster names")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    labels = np.array([numbers[name] for name in names])
    counts = np.bincount(labels).astype(np.float64)
    return np.bincount(labels, weights=values).astype(np.float64), counts


def _resample(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a ratio of sums over clusters."""
    if len(numerators) == 1:  # one cluster says nothing about another
        return -np.inf, np.inf
    interval = stats.bootstrap(
        (numerators, denominators),
        _ratio_of_sums,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _ratio_of_sums(numerators: Any, denominators: Any, axis: int) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return numerators.sum(axis) / denominators.sum(axis)
