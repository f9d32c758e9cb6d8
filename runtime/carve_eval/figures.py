"""From answers to figures: accuracies, their intervals, the difference that a closer look makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_eval.answers import Answer
from carve_eval.benchmarks.benchmark import Question
from carve_eval.reporting.interval import Interval
from carve_eval.reporting.statistics import bootstrap_interval, paired_p_value, wilson_interval
from carve_eval.runner import Run

#: The measure of those questions whose object's place is known.
POINTING = "pointing"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a benchmark, or a group of its questions, shows under one setting; shares of 1.

    Attributes:
        benchmark: its title.
        setting: its label.
        group: part of the benchmark, or "" for all of it.
        questions: how many were answered.
        total: how many there are.
        plain: mean score of the plain answers, with its 95 % interval.
        refined: the same after a closer look.
        difference: refined minus plain, with its 95 % interval.
        only_plain: questions that the plain answer gets better.
        only_refined: questions that the refined answer gets better.
        p_value: of McNemar's exact test, or of sign flips where scores are graded.
        plain_measures: the benchmark's own measures of the plain answers.
        refined_measures: the same after a closer look, and :data:`POINTING` where it is known.
    """

    benchmark: str
    setting: str
    group: str
    questions: int
    total: int
    plain: Interval
    refined: Interval
    difference: Interval
    only_plain: int
    only_refined: int
    p_value: float
    plain_measures: dict[str, float]
    refined_measures: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two settings on the questions that both have answered; shares of 1.

    Attributes:
        benchmark: its title.
        reference: label of the first setting.
        setting: label of the other.
        questions: how many both answered.
        difference: the other's refined answers minus the first's, with its 95 % interval.
        only_reference: questions that the first gets better.
        only_setting: questions that the other gets better.
        p_value: as in :class:`Figures`.
    """

    benchmark: str
    reference: str
    setting: str
    questions: int
    difference: Interval
    only_reference: int
    only_setting: int
    p_value: float


def evaluate(run: Run) -> list[Figures]:
    """Return the figures of a run, then those of its groups; nothing if nothing was answered."""
    groups = dict.fromkeys(question.group for question in run.questions if question.group)
    rows = (_figures(run, group) for group in ("", *groups))
    return [row for row in rows if row is not None]


def compare(runs: Sequence[Run]) -> Iterator[Comparison]:
    """Yield how the refined answers of each run but the first compare with the first's."""
    reference, *others = runs
    for run in others:
        answers = reference.file.answers
        both = [(each, answer) for each, answer in run.answered if each.id in answers]
        if not both:
            continue
        first = _scores(run, [(each, answers[each.id].refined) for each, _ in both])
        other = _scores(run, [(each, answer.refined) for each, answer in both])
        yield Comparison(
            benchmark=run.benchmark.title,
            reference=reference.setting.label,
            setting=run.setting.label,
            questions=len(both),
            difference=bootstrap_interval(other - first, clusters=[q.image for q, _ in both]),
            only_reference=int((first > other).sum()),
            only_setting=int((other > first).sum()),
            p_value=paired_p_value(first, other),
        )


def _figures(run: Run, group: str) -> Figures | None:
    questions = [each for each in run.questions if group in ("", each.group)]
    answered = [(each, answer) for each, answer in run.answered if group in ("", each.group)]
    if not answered:
        return None
    asked, answers = zip(*answered, strict=True)
    plain_answers = [answer.plain for answer in answers]
    refined_answers = [answer.refined for answer in answers]
    plain = _scores(run, list(zip(asked, plain_answers, strict=True)))
    refined = _scores(run, list(zip(asked, refined_answers, strict=True)))
    images = [question.image for question in asked]
    return Figures(
        benchmark=run.benchmark.title,
        setting=run.setting.label,
        group=group,
        questions=len(asked),
        total=len(questions),
        plain=_interval(plain, images),
        refined=_interval(refined, images),
        difference=bootstrap_interval(refined - plain, clusters=images),
        only_plain=int((plain > refined).sum()),
        only_refined=int((refined > plain).sum()),
        p_value=paired_p_value(plain, refined),
        plain_measures=run.benchmark.measures(asked, plain_answers),
        refined_measures=run.benchmark.measures(asked, refined_answers) | _pointing(answered),
    )


def _pointing(answered: Sequence[tuple[Question, Answer]]) -> dict[str, float]:
    """Return the share of peaks on the object asked for; nothing where no object is known."""
    hits = []
    for question, answer in answered:
        if question.box is not None and answer.peak is not None:
            (x0, y0, x1, y1), (x, y) = question.box, answer.peak
            hits.append(x0 <= x <= x1 and y0 <= y <= y1)
    return {POINTING: float(np.mean(hits))} if hits else {}


def _scores(run: Run, pairs: Sequence[tuple[Question, str]]) -> NDArray[np.float64]:
    return np.array([run.benchmark.score(question, answer) for question, answer in pairs])


def _interval(scores: NDArray[np.float64], images: Sequence[Path]) -> Interval:
    """Return Wilson's interval where it holds: right or wrong, one question per image."""
    if len(set(images)) == len(images) and np.isin(scores, (0.0, 1.0)).all():
        return wilson_interval(int(scores.sum()), len(scores))
    return bootstrap_interval(scores, clusters=images)
