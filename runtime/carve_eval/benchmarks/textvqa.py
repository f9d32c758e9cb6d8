"""TextVQA: read the text in a photograph.

``TextVQA_0.5.1_val.json`` of textvqa.org has under ``data``, for each question, ``question_id``,
``question``, ``image_id`` and ten human ``answers``; the image is ``train_images/IMAGE_ID.jpg`` of
``train_val_images.zip``, which holds both splits.

The model is asked the question alone, without the recognised text that LLaVA's published TextVQA
figures were given (58.2 for LLaVA-1.5-7B, ``docs/MODEL_ZOO.md``; CARVE's paper has a plain 47.8).
Score: VQA accuracy, see ``vqa.py``. ViCrop, on which CARVE builds, gives 0.3 per agreeing answer,
at most 1: the same for ten answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from carve_eval.benchmarks.benchmark import Benchmark, Question
from carve_eval.benchmarks.files import image_folder, read_json
from carve_eval.benchmarks.vqa import vqa_accuracy

_QUESTIONS = "TextVQA_0.5.1_val.json"
_IMAGES = ("train_images", "images")
#: The accuracy is defined for ten.
_Answers = Annotated[list[str], msgspec.Meta(min_length=10, max_length=10)]


class _Record(msgspec.Struct):
    question_id: int
    question: str
    image_id: str
    answers: _Answers


class _File(msgspec.Struct):
    data: list[_Record]


class TextVQA(Benchmark):
    """TextVQA's validation split."""

    name = "textvqa"
    title = "TextVQA"

    def read(self, place: Path) -> list[Question]:
        """Read the JSON file; the images lie in ``train_images`` or ``images``."""
        records = read_json(place / _QUESTIONS, _File).data
        images = image_folder(place, _IMAGES)
        return [
            Question(
                id=str(record.question_id),
                image=images / f"{record.image_id}.jpg",
                prompt=record.question,
                references=tuple(record.answers),
            )
            for record in records
        ]

    def score(self, question: Question, answer: str) -> float:
        """Return the VQA accuracy."""
        return vqa_accuracy(answer, question.references)
