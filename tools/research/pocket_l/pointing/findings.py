"""The figures of the experiment, with their uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.statistics import (
    McNemar,
    bootstrap_interval,
    mcnemar,
    ratio_interval,
    wilson_interval,
)
from tools.research.pocket_l.pointing.contrast import REGULARIZERS, WORDINGS, Regularizer, Wording
from tools.research.pocket_l.pointing.experiment import (
    ALONE,
    CONTRAST,
    Choice,
    Method,
    Points,
    chance_hits,
    choose,
    of_another_scene,
    of_average_scene,
    other_hits,
    point,
    rate,
)
from tools.research.pocket_l.pointing.split import Split, Tokens
from tools.shared.models.pointing import NEAR, hits

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """How often one way to point hits, on the test split.

    Attributes:
        title: what it is.
        choice: wording, regulariser and layer, chosen on the development split.
        near: share of questions whose strongest token is the target's or next to it.
        on_target: share of questions whose strongest token is the target's.
        development: ``near`` on the development split.
    """

    title: str
    choice: Choice | None
    near: Interval
    on_target: Interval
    development: float


@dataclass(frozen=True)
class Findings:
    """Everything that is reported.

    Attributes:
        questions: of the development and the test split.
        scenes: of both that were asked about.
        rows: the main table.
        by_wording: contrast and question alone, each with its own choice, for every wording.
        by_regularizer: the contrast with every regulariser, with the chosen wording.
        ratios: how many times another row the contrast is, by its title; ``None`` if that is 0.
        position_share: share of the gain that an ``A_G`` averaged over scenes gives;
            ``None`` without a gain.
        test: contrast against question alone with its own layer, question by question.
        curves: ``near`` by layer on the test split with the chosen wording; the sum is last.
        contrast: the chosen way to contrast.
    """

    questions: tuple[int, int]
    scenes: tuple[int, int]
    rows: tuple[Row, ...]
    by_wording: tuple[Row, ...]
    by_regularizer: tuple[Row, ...]
    ratios: dict[str, Interval | None]
    position_share: Interval | None
    test: McNemar
    curves: dict[str, list[float]]
    contrast: Choice


def find(dev: Split, test: Split, grid: tuple[int, int]) -> Findings:
    """Choose on the development split, and return the figures of the test split.

    Args:
        dev: decides wording, regulariser and layer, and gives the averaged ``A_G``.
        test: is quoted.
        grid: rows and columns of the image's tokens.
    """
    average = of_average_scene(dev)
    plain = _Measured(dev, test, point(dev, grid), point(test, grid))
    averaged = _Measured(dev, test, point(dev, grid, average), point(test, grid, average))
    swapped = _Measured(
        dev,
        test,
        point(dev, grid, of_another_scene(dev)),
        point(test, grid, of_another_scene(test)),
    )
    contrast, alone = plain.choose(CONTRAST), plain.choose(ALONE)
    same_layer = Choice(contrast.wording, None, contrast.layer)
    own_average = averaged.choose(CONTRAST)
    rows = (
        plain.row("contrast", contrast),
        plain.row("question alone, its own best layer", alone),
        plain.row("question alone, the contrast's layer", same_layer),
        averaged.row("contrast with the average scene's A_G", contrast),
        averaged.row("contrast with the average scene's A_G, its own best layer", own_average),
        swapped.row("contrast with another scene's A_G", contrast),
        plain.row_of_others("contrast, hits on the scene's other objects", contrast),
        _row_of_chance(dev, test, grid),
    )
    scores, lone = plain.near(contrast), plain.near(alone)
    same, average_scores = plain.near(same_layer), averaged.near(contrast)
    denominators = {
        rows[1].title: lone,
        rows[2].title: same,
        rows[4].title: averaged.near(own_average),
    }
    return Findings(
        questions=(len(dev.scene), len(test.scene)),
        scenes=(len(np.unique(dev.scene)), len(np.unique(test.scene))),
        rows=rows,
        by_wording=tuple(
            plain.row(name, plain.choose([m for m in methods if m[0] == wording]))
            for wording in WORDINGS
            for name, methods in (("contrast", CONTRAST), ("question alone", ALONE))
        ),
        by_regularizer=tuple(
            plain.row("contrast", plain.choose([(contrast.wording, regularizer)]))
            for regularizer in REGULARIZERS
        ),
        ratios={title: _ratio(scores, base, test.scene) for title, base in denominators.items()},
        position_share=_ratio(average_scores - same, scores - same, test.scene),
        test=mcnemar(scores, lone),
        curves={
            "contrast": plain.curve(contrast.wording, contrast.regularizer),
            "question alone": plain.curve(contrast.wording, None),
            "contrast with the average scene's A_G": averaged.curve(
                contrast.wording, contrast.regularizer
            ),
        },
        contrast=contrast,
    )


@dataclass(frozen=True)
class _Measured:
    """Where every method points on both splits."""

    dev: Split
    test: Split
    dev_points: Points
    test_points: Points

    def choose(self, methods: Iterable[Method]) -> Choice:
        return choose(self.dev_points, self.dev.targets, methods)

    def near(self, choice: Choice) -> Scores:
        return hits(choice.at(self.test_points), self.test.targets).astype(np.float64)

    def row(self, title: str, choice: Choice) -> Row:
        exact = hits(choice.at(self.test_points), self.test.targets, reach=0)
        before = hits(choice.at(self.dev_points), self.dev.targets).mean()
        near = self.near(choice)
        return Row(title, choice, _share(near), _share(exact), float(before))

    def row_of_others(self, title: str, choice: Choice) -> Row:
        points, names = choice.at(self.test_points), list(self.test.scene)
        near, exact = (
            bootstrap_interval(other_hits(points, self.test, reach), clusters=names)
            for reach in (NEAR, 0)
        )
        before = other_hits(choice.at(self.dev_points), self.dev).mean()
        return Row(title, choice, near, exact, float(before))

    def curve(self, wording: Wording, regularizer: Regularizer | None) -> list[float]:
        points = self.test_points[wording, regularizer]
        return [float(share) for share in rate(points, self.test.targets)]


def _ratio(scores: Scores, base: Scores, scene: Tokens) -> Interval | None:
    """Return how many times the second mean the first is; ``None`` where the second is 0."""
    return ratio_interval(scores, base, clusters=list(scene)) if base.mean() else None


def _share(right: NDArray[Any]) -> Interval:
    return wilson_interval(int(right.sum()), len(right))


def _row_of_chance(dev: Split, test: Split, grid: tuple[int, int]) -> Row:
    names = list(test.scene)
    near, exact = (
        bootstrap_interval(chance_hits(test, grid, reach), clusters=names) for reach in (NEAR, 0)
    )
    return Row("a random token", None, near, exact, float(chance_hits(dev, grid).mean()))
