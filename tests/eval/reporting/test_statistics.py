"""Intervals and tests, compared with published worked examples and with arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_eval.reporting.statistics import (
    bootstrap_interval,
    mcnemar,
    paired_p_value,
    ratio_interval,
    sign_flip_test,
    wilson_interval,
)


def test_wilson_interval_by_hand() -> None:
    """81 of 263: the example of Newcombe (1998, table I), 0.2553 to 0.3662."""
    actual = wilson_interval(81, 263)
    assert actual.estimate == pytest.approx(81 / 263)
    assert actual.low == pytest.approx(0.2553, abs=5e-5)
    assert actual.high == pytest.approx(0.3662, abs=5e-5)


@pytest.mark.parametrize(("right", "total"), [(0, 20), (20, 20)])
def test_wilson_interval_has_width_at_the_ends(right: int, total: int) -> None:
    actual = wilson_interval(right, total)
    assert 0 <= actual.low < actual.high <= 1
    share = 1.959964**2 / (total + 1.959964**2)
    assert actual.high - actual.low == pytest.approx(share, rel=1e-6)


def test_mcnemar_by_hand() -> None:
    first = [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    actual = mcnemar(first, second)
    assert (actual.only_first, actual.only_second) == (1, 6)
    assert actual.p_value == pytest.approx(2 * (1 + 7) / 2**7)


def test_equal_answers_differ_in_nothing() -> None:
    assert mcnemar([True, False], [True, False]).p_value == 1
    assert sign_flip_test([0.0, 0.0]) == 1
    assert sign_flip_test([0.3, 0.0]) == 1


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_the_sign_flip_of_right_and_wrong_is_mcnemars(differences: list[int]) -> None:
    first = [difference < 0 for difference in differences]
    second = [difference > 0 for difference in differences]
    assert sign_flip_test(differences) == pytest.approx(mcnemar(first, second).p_value)


def test_sign_flip_of_graded_scores_by_hand() -> None:
    # Sums of +-0.9 +-0.6 +-0.3: only the given signs and their opposites reach 1.8; of eight.
    assert sign_flip_test([0.9, 0.6, 0.3]) == pytest.approx(2 / 8)
    # With a minus: |0.9 + 0.6 - 0.3| = 1.2 is reached by the extremes too.
    assert sign_flip_test([0.9, 0.6, -0.3]) == pytest.approx(4 / 8)


def test_the_paired_test_follows_the_scores() -> None:
    right, wrong = [1.0] * 8, [0.0] * 8
    assert paired_p_value(wrong, right) == pytest.approx(2 / 2**8)
    assert paired_p_value([0.3] * 8, [0.6] * 8) == pytest.approx(2 / 2**8)
    # Differences of 0.9, 0.6 and -0.3, as above.
    assert paired_p_value([0.0, 0.3, 0.6], [0.9, 0.9, 0.3]) == pytest.approx(4 / 8)


def test_bootstrap_agrees_with_wilson_on_many_answers() -> None:
    scores = np.arange(600) % 3 == 0
    actual, wilson = bootstrap_interval(scores), wilson_interval(200, 600)
    assert actual.estimate == wilson.estimate
    assert actual.low == pytest.approx(wilson.low, abs=0.006)
    assert actual.high == pytest.approx(wilson.high, abs=0.006)


def test_bootstrap_draws_clusters_together() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.random(80).round(1)
    apart = bootstrap_interval(pictures)
    together = bootstrap_interval(
        np.repeat(pictures, 5), clusters=np.repeat(np.arange(80), 5).tolist()
    )
    assert together == pytest.approx(apart)  # five copies of an answer say no more than one
    careless = bootstrap_interval(np.repeat(pictures, 5))
    assert careless.high - careless.low < 0.6 * (apart.high - apart.low)


def test_bootstrap_is_reproducible_and_bounded() -> None:
    scores = [0.0, 0.3, 0.6, 0.9, 1.0, 1.0]
    assert bootstrap_interval(scores) == bootstrap_interval(scores)
    actual = bootstrap_interval(scores)
    assert 0 <= actual.low < actual.estimate < actual.high <= 1
    assert bootstrap_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_one_cluster_bounds_nothing() -> None:
    assert bootstrap_interval([0.0, 1.0], clusters=["a", "a"]) == (0.5, -math.inf, math.inf)


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 and 1 answers cannot be paired"):
        mcnemar([1, 0], [1])
    with pytest.raises(ValueError, match="2 and 1 answers cannot be paired"):
        paired_p_value([0.3, 0.6], [1])
    with pytest.raises(ValueError, match="graded scores have no McNemar test"):
        mcnemar([0.3], [1])
    with pytest.raises(ValueError, match=r"scores have shape \(0,\)"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="2 scores have 1 cluster names"):
        bootstrap_interval([0, 1], clusters=["a"])
    for right, total in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"{right} right answers of {total}"):
            wilson_interval(right, total)


def test_a_ratio_by_hand_and_its_interval() -> None:
    first, second = [1, 1, 1, 0] * 50, [1, 0, 0, 0] * 50
    actual = ratio_interval(first, second)
    assert actual.estimate == pytest.approx(3.0)
    assert 1 < actual.low < 3 < actual.high
    same = ratio_interval(second, second)
    assert (same.low, same.high) == (1.0, 1.0)


def test_a_ratio_knows_clusters() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(60) < 0.6, rng.random(60) < 0.3
    alone = ratio_interval(first, second)
    copies = ratio_interval(
        first.repeat(4), second.repeat(4), clusters=list(np.arange(60).repeat(4))
    )
    assert copies == pytest.approx(alone)
    assert ratio_interval(first, second, clusters=["one"] * 60)[1:] == (-math.inf, math.inf)


def test_a_ratio_by_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="second mean"):
        ratio_interval([1, 0], [0, 0])
