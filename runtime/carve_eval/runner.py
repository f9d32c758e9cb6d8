"""Ask a bundle a benchmark's questions, as far as they are not answered yet."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path

from carve_eval.answers import Answer, AnswerFile
from carve_eval.benchmarks.benchmark import Benchmark, Question
from carve_eval.setting import Setting
from carve_models.settings import Settings
from carve_runtime import Carve, ImageSession

#: Of the order in which images are asked.
_SEED = 0


@dataclass(frozen=True)
class Run:
    """A benchmark under one setting, and the answers that are there."""

    benchmark: Benchmark
    setting: Setting
    questions: Sequence[Question]
    file: AnswerFile


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
        missing = open_questions(runs, questions)
        if not missing:
            continue
        sessions = cache(partial(vlm.open, image))
        for run, question in missing:
            run.file.add(_answer(sessions, question, run.setting.settings))
            on_answer()


def _answer(
    sessions: Callable[..., ImageSession], question: Question, settings: Settings
) -> Answer:
    """Ask a question; if its passes skip layers or pixels, the plain answer takes another one."""
    result = sessions(scout_pixels=settings.scout_pixels).ask(question.prompt, **vars(settings))
    plain = result.plain_answer
    if plain is None or settings.scout_pixels is not None:
        limit = settings.max_new_tokens
        plain = sessions(scout_pixels=None).plain(question.prompt, max_new_tokens=limit).answer
    return Answer(
        id=question.id,
        plain=plain,
        carve=result.answer,
        box=result.bbox,
        entropy=result.entropy,
    )


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
