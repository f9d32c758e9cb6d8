"""From answers to figures: accuracies, their intervals, the difference that CARVE makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_eval.benchmarks.benchmark import Benchmark, Question
from carve_eval.reporting.interval import Interval
from carve_eval.reporting.statistics import bootstrap_interval, paired_p_value, wilson_interval
from carve_eval.runner import Run


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
        carve: the same through CARVE.
        difference: CARVE minus plain, with its 95 % interval.
        only_plain: questions that the plain answer gets better.
        only_carve: questions that CARVE gets better.
        p_value: of McNemar's exact test, or of sign flips where scores are graded.
        plain_measures: the benchmark's own measures of the plain answers.
        carve_measures: the same through CARVE.
    """

    benchmark: str
    setting: str
    group: str
    questions: int
    total: int
    plain: Interval
    carve: Interval
    difference: Interval
    only_plain: int
    only_carve: int
    p_value: float
    plain_measures: dict[str, float]
    carve_measures: dict[str, float]


def evaluate(run: Run) -> list[Figures]:
    """Return the figures of a run, then those of its groups; nothing if nothing was answered."""
    groups = dict.fromkeys(question.group for question in run.questions if question.group)
    parts = [("", list(run.questions))] + [
        (group, [question for question in run.questions if question.group == group])
        for group in groups
    ]
    rows = (_figures(run, group, questions) for group, questions in parts)
    return [row for row in rows if row is not None]


def _figures(run: Run, group: str, questions: Sequence[Question]) -> Figures | None:
    answers = run.file.answers
    asked = [question for question in questions if question.id in answers]
    if not asked:
        return None
    plain_answers = [answers[question.id].plain for question in asked]
    carve_answers = [answers[question.id].carve for question in asked]
    plain = _scores(run.benchmark, asked, plain_answers)
    carve = _scores(run.benchmark, asked, carve_answers)
    images = [question.image for question in asked]
    return Figures(
        benchmark=run.benchmark.title,
        setting=run.setting.label,
        group=group,
        questions=len(asked),
        total=len(questions),
        plain=_interval(plain, images),
        carve=_interval(carve, images),
        difference=bootstrap_interval(carve - plain, clusters=images),
        only_plain=int((plain > carve).sum()),
        only_carve=int((carve > plain).sum()),
        p_value=paired_p_value(plain, carve),
        plain_measures=run.benchmark.measures(asked, plain_answers),
        carve_measures=run.benchmark.measures(asked, carve_answers),
    )


def _scores(
    benchmark: Benchmark, questions: Sequence[Question], answers: Sequence[str]
) -> NDArray[np.float64]:
    pairs = zip(questions, answers, strict=True)
    return np.array([benchmark.score(question, answer) for question, answer in pairs])


def _interval(scores: NDArray[np.float64], images: Sequence[Path]) -> Interval:
    """Return Wilson's interval where it holds: right or wrong, one question per image."""
    if len(set(images)) == len(images) and np.isin(scores, (0.0, 1.0)).all():
        return wilson_interval(int(scores.sum()), len(scores))
    return bootstrap_interval(scores, clusters=images)
