"""A score fitted on one split, and how well it ranks the answers of another one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from carve_eval.reporting.interval import Interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Weight of the squared coefficients: what one question's error may weigh at most.
_PENALTY = 1.0
_RESAMPLES = 2000
_ENDS = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class Score:
    """A logistic regression.

    Attributes:
        mean: (k,) of each signal.
        deviation: (k,) of each signal.
        weights: (k + 1,), the last one is the constant.
    """

    mean: Floats
    deviation: Floats
    weights: Floats

    @classmethod
    def fit(cls, signals: Floats, right: Flags) -> Score:
        """Fit to (n, k) signals and (n,) whether each answer was right."""
        mean, deviation = signals.mean(axis=0), signals.std(axis=0)
        inputs = _with_constant((signals - mean) / deviation)
        signs = np.where(right, 1.0, -1.0)

        def loss(weights: Floats) -> tuple[float, Floats]:
            margins = signs * (inputs @ weights)
            slope = -signs * special.expit(-margins)
            shrunk = np.append(weights[:-1], 0.0)
            value = -special.log_expit(margins).sum() + _PENALTY / 2 * shrunk @ shrunk
            return float(value), inputs.T @ slope + _PENALTY * shrunk

        start = np.zeros(inputs.shape[1])
        return cls(mean, deviation, optimize.minimize(loss, start, jac=True).x)

    def __call__(self, signals: Floats) -> Floats:
        """Return (n,) log-odds that the answers are right."""
        return np.asarray(_with_constant((signals - self.mean) / self.deviation) @ self.weights)


def area(score: Floats, right: Flags) -> float:
    """Return the area under the curve: how often a right answer scores above a wrong one.

    NaN where all answers are right, or all are wrong.
    """
    wrong = int((~right).sum())
    pairs = wrong * int(right.sum())
    if not pairs:
        return float("nan")
    below = stats.mannwhitneyu(score[right], score[~right], method="asymptotic").statistic
    return float(below / pairs)


def area_gain(score: Floats, base: Floats, right: Flags, pictures: Sequence[Hashable]) -> Interval:
    """Return how much larger the area of ``score`` is than that of ``base``.

    The interval is a bootstrap's over pictures, whose questions are not independent.
    """
    names = np.array([*map(hash, pictures)])
    members = [np.flatnonzero(names == hash(name)) for name in dict.fromkeys(pictures)]
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        gains.append(area(score[drawn], right[drawn]) - area(base[drawn], right[drawn]))
    low, high = np.nanpercentile(gains, _ENDS)
    return Interval(area(score, right) - area(base, right), float(low), float(high))


def _with_constant(inputs: Floats) -> Floats:
    return np.column_stack([inputs, np.ones(len(inputs))])
