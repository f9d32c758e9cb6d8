"""Ask a bundle a benchmark's questions, as far as they are not answered yet."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from carve_eval.answers import Answer, AnswerFile
from carve_eval.benchmarks.benchmark import Benchmark, Question
from carve_eval.methods.method import Picture
from carve_eval.setting import Setting
from carve_runtime import Carve

#: Of the order in which images are asked.
_SEED = 0


@dataclass(frozen=True)
class Run:
    """A benchmark under one setting, and the answers that are there."""

    benchmark: Benchmark
    setting: Setting
    questions: Sequence[Question]
    file: AnswerFile

    @property
    def answered(self) -> list[tuple[Question, Answer]]:
        """The questions that are answered, in the benchmark's order."""
        answers = self.file.answers
        return [(each, answers[each.id]) for each in self.questions if each.id in answers]


def ask(
    vlm: Carve, runs: Sequence[Run], *, limit: int | None, on_answer: Callable[[], None]
) -> None:
    """Answer the open questions of runs of one benchmark; each image is opened once.

    Args:
        vlm: a loaded bundle.
        runs: of the same questions under several settings.
        limit: how many questions of the benchmark are asked at most; ``None`` is all.
        on_answer: called after each answer.
    """
    for image, questions in by_image(runs[0].questions, limit).items():
        picture = Picture(vlm, image)
        for run, question in open_questions(runs, questions):
            setting = run.setting
            run.file.add(setting.way.ask(picture, question, setting.settings))
            on_answer()


def open_questions(
    runs: Sequence[Run], questions: Sequence[Question]
) -> list[tuple[Run, Question]]:
    """Return which of the questions which run has not answered."""
    return [
        (run, question)
        for question in questions
        for run in runs
        if question.id not in run.file.answers
    ]


def by_image(questions: Sequence[Question], limit: int | None) -> dict[Path, list[Question]]:
    """Return the first questions in the order of asking, by image.

    The images come in random order, the same each time: what an interrupted or limited run has
    answered is a fair sample of the benchmark.
    """
    images: dict[Path, list[Question]] = {}
    for question in questions:
        images.setdefault(question.image, []).append(question)
    order = list(images)
    random.Random(_SEED).shuffle(order)
    chosen: dict[Path, list[Question]] = {}
    for question in islice(chain.from_iterable(images[image] for image in order), limit):
        chosen.setdefault(question.image, []).append(question)
    return chosen
