"""A-OKVQA: questions that need knowledge of the world, multiple choice and free answers.

``aokvqa_v1p0_val.json`` of allenai/aokvqa is a list of objects with ``question_id``, ``image_id``,
``question``, ``choices``, ``correct_choice_idx``, ``direct_answers`` (ten) and
``difficult_direct_answer``; the image is COCO's ``val2017/IMAGE_ID.jpg``, the number with twelve
digits (``load_aokvqa.py`` there).

Metrics as in ``evaluation/eval_predictions.py`` there: multiple choice, the share of right choices;
direct answers, min(1, agreeing answers / 3), without the questions marked as difficult. Two things
are ours: an answer is matched to a choice as ``choices.py`` says, and direct answers are compared
after the normalisation of ``vqa.py``, where the script wants equal strings.

The choices are listed as LLaVA-1.5 lists them (``docs/Evaluation.md`` of haotian-liu/LLaVA). The
CARVE paper does not say which of the two settings its A-OKVQA column is; both are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from carve_eval.benchmarks.benchmark import Benchmark, DataError, Question
from carve_eval.benchmarks.choices import Options, is_chosen, list_options, share_unnamed
from carve_eval.benchmarks.files import image_folder, read_json
from carve_eval.benchmarks.vqa import normalize_answer

_QUESTIONS = "aokvqa_v1p0_val.json"
_IMAGES = ("val2017", "images")
_FULL_AGREEMENT = 3


class _Record(msgspec.Struct):
    question_id: str
    image_id: int
    question: str
    choices: Options
    correct_choice_idx: int
    direct_answers: Annotated[list[str], msgspec.Meta(min_length=1)]
    difficult_direct_answer: bool


class AOKVQAChoice(Benchmark):
    """A-OKVQA's multiple-choice setting, validation split."""

    name = "aokvqa"
    title = "A-OKVQA"

    def read(self, place: Path) -> list[Question]:
        """Read the JSON file; the images lie in ``val2017`` or ``images``."""
        return [_choice_question(record, image) for record, image in _read(place)]

    def score(self, question: Question, answer: str) -> float:
        """Return 1 if the answer means the right choice."""
        return float(is_chosen(answer, question.options, question.references))

    def measures(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
        """Return the share of answers that name no choice."""
        return {"unnamed": share_unnamed(answers, [question.options for question in questions])}


class AOKVQADirect(Benchmark):
    """A-OKVQA's direct-answer setting, validation split."""

    name = "aokvqa-direct"
    title = "A-OKVQA direct"

    def read(self, place: Path) -> list[Question]:
        """Read the questions that are not marked as difficult to answer directly."""
        return [
            Question(
                id=record.question_id,
                image=image,
                prompt=record.question,
                references=tuple(record.direct_answers),
            )
            for record, image in _read(place)
            if not record.difficult_direct_answer
        ]

    def score(self, question: Question, answer: str) -> float:
        """Return how many human answers agree, of three."""
        given = normalize_answer(answer)
        same = sum(normalize_answer(reference) == given for reference in question.references)
        return min(1.0, same / _FULL_AGREEMENT)


def _read(folder: Path) -> list[tuple[_Record, Path]]:
    path = folder / _QUESTIONS
    records = read_json(path, list[_Record])
    images = image_folder(folder, _IMAGES)
    for record in records:
        if not 0 <= record.correct_choice_idx < len(record.choices):
            raise DataError(
                f"question {record.question_id} of {path} has the right choice "
                f"{record.correct_choice_idx} of {len(record.choices)}",
                "its number counts from 0",
            )
    return [(record, images / f"{record.image_id:012}.jpg") for record in records]


def _choice_question(record: _Record, image: Path) -> Question:
    return Question(
        id=record.question_id,
        image=image,
        prompt=list_options(record.question, record.choices),
        references=(record.choices[record.correct_choice_idx],),
        options=tuple(record.choices),
    )
