"""Find the thresholds of the adaptive mode (``docs/method.md``) from labelled questions.

In: answers under the bundle's own settings. Out: the thresholds that keep the most plain answers
without losing accuracy, what they do to questions that they were not chosen from, and the
trade-off between the two.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.statistics import bootstrap_interval
from carve_eval.reporting.tables import Table
from carve_eval.runner import Run
from carve_models.errors import CarveError

#: Thresholds are looked for among these quantiles of the probabilities and of the entropies.
_QUANTILES = np.linspace(0, 1, 21)
#: Parts that the images are divided into; each is judged by thresholds chosen from the others.
FOLDS = 5
#: Shares of kept plain answers that the trade-off is shown at.
_SHARES = np.linspace(0, 1, 11)
_SEED = 0

Floats = NDArray[np.float64]


class CalibrationError(CarveError):
    """The answers do not suffice to choose thresholds."""


@dataclass(frozen=True)
class Evidence:
    """Answered questions: what the mode looks at, and how right either answer is.

    Attributes:
        probability: (n,), of the plain answers.
        entropy: (n,), of the attention, in nats.
        plain: (n,) scores of the plain answers.
        refined: (n,) scores through CARVE.
        images: n names; questions about one image are judged together.
    """

    probability: Floats
    entropy: Floats
    plain: Floats
    refined: Floats
    images: Sequence[Path]

    @cached_property
    def accuracy(self) -> float:
        """Mean score of CARVE for all."""
        return float(self.refined.mean())

    def part(self, chosen: NDArray[np.bool_]) -> Evidence:
        """Return the questions that are chosen, (n,) bool."""
        images = [image for image, kept in zip(self.images, chosen, strict=True) if kept]
        return Evidence(
            self.probability[chosen],
            self.entropy[chosen],
            self.plain[chosen],
            self.refined[chosen],
            images,
        )

    def keeps(self, thresholds: Thresholds) -> NDArray[np.bool_]:
        """Return whose plain answer is kept, (n,) bool."""
        sure = self.probability >= thresholds.sure_probability
        return np.asarray(sure & (self.entropy <= thresholds.focused_entropy))

    def scores(self, kept: NDArray[np.bool_]) -> Floats:
        """Return the scores of the mode, (n,)."""
        return np.where(kept, self.plain, self.refined)


@dataclass(frozen=True)
class Thresholds:
    """A choice, and what it does to the questions that it was made from: shares of 1."""

    sure_probability: float
    focused_entropy: float
    kept: float
    accuracy: float


@dataclass(frozen=True)
class HeldOut:
    """What chosen thresholds do to questions that had no part in the choice; shares of 1."""

    kept: float
    accuracy: float
    difference: Interval


def gather(runs: Sequence[Run]) -> Evidence:
    """Return the evidence of all answers of some runs.

    Raises:
        CalibrationError: fewer images than :data:`FOLDS`, or passes that give no plain answer.
    """
    rows, images = [], []
    for run in runs:
        for question, answer in run.answered:
            if answer.probability is None or answer.entropy is None:
                raise CalibrationError(
                    "the attention passes give no plain answer that could be kept",
                    "adaptive goes neither with early_exit nor with scout_pixels; "
                    "export the bundle with other defaults",
                )
            plain = run.benchmark.score(question, answer.plain)
            refined = run.benchmark.score(question, answer.refined)
            rows.append((answer.probability, answer.entropy, plain, refined))
            images.append(question.image)
    if len(set(images)) < FOLDS:
        raise CalibrationError(
            f"the answers are about {len(set(images))} images",
            f"give labelled questions about {FOLDS} or more; hundreds say more",
        )
    probability, entropy, plain_scores, refined_scores = np.array(rows, np.float64).T
    return Evidence(probability, entropy, plain_scores, refined_scores, images)


def candidates(evidence: Evidence) -> list[Thresholds]:
    """Return all pairs of quantiles, and one that keeps nothing."""
    found = [Thresholds(1.0, 0.0, 0.0, evidence.accuracy)]
    probabilities = np.unique(np.quantile(evidence.probability, _QUANTILES))
    entropies = np.unique(np.quantile(evidence.entropy, _QUANTILES))
    for sure, focused in product(probabilities.tolist(), entropies.tolist()):
        kept = evidence.keeps(Thresholds(sure, focused, 0.0, 0.0))
        accuracy = float(evidence.scores(kept).mean())
        found.append(Thresholds(sure, focused, float(kept.mean()), accuracy))
    return found


def choose(evidence: Evidence) -> Thresholds:
    """Return the pair that keeps the most plain answers at no less accuracy than CARVE for all.

    Where no pair does but the one that keeps nothing, that one is returned.
    """
    harmless = [each for each in candidates(evidence) if each.accuracy >= evidence.accuracy]
    return max(harmless, key=lambda each: (each.kept, each.accuracy))


def cross_validate(evidence: Evidence) -> HeldOut:
    """Return what the choice does to each part of the images when it is made from the others."""
    images = sorted(set(evidence.images))
    random.Random(_SEED).shuffle(images)
    fold_of = {image: number % FOLDS for number, image in enumerate(images)}
    folds = np.array([fold_of[image] for image in evidence.images])
    kept = np.zeros(len(folds), bool)
    for fold in range(FOLDS):
        thresholds = choose(evidence.part(folds != fold))
        kept |= evidence.keeps(thresholds) & (folds == fold)
    scores = evidence.scores(kept)
    difference = bootstrap_interval(scores - evidence.refined, clusters=evidence.images)
    return HeldOut(float(kept.mean()), float(scores.mean()), difference)


def trade_off_table(evidence: Evidence, chosen: Thresholds, held_out: HeldOut) -> Table:
    """Return the best accuracy at growing shares of kept plain answers, and the choice."""
    every = candidates(evidence)
    best = {
        max((each for each in every if each.kept >= share), key=lambda each: each.accuracy): None
        for share in _SHARES
    }
    rows = [_row("", each) for each in best] + [
        _row("chosen", chosen),
        ("held out", 100 * held_out.kept, 100 * held_out.accuracy, None, None),
    ]
    change = held_out.difference.percent
    note = (
        f"CARVE for all {len(evidence.plain)} questions: {100 * evidence.accuracy:.1f}. Held out: "
        f"{change.estimate:+.1f} [{change.low:+.1f}, {change.high:+.1f}], each of {FOLDS} parts of "
        "the images judged by thresholds chosen from the others."
    )
    columns = ("", "plain kept", "accuracy", "probability from", "entropy to")
    return Table("trade-off", "Adaptive mode: plain answers kept, in %", columns, rows, note)


def _row(label: str, each: Thresholds) -> tuple[str, float, float, str, str]:
    thresholds = (f"{each.sure_probability:.4f}", f"{each.focused_entropy:.3f}")
    return (label, 100 * each.kept, 100 * each.accuracy, *thresholds)
