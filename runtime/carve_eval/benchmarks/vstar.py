"""V* (``vstar_bench``): small things in large photographs, multiple choice.

Read from either form of craigwu/vstar_bench:

* ``test_questions.jsonl``: ``question_id``, ``image``, ``category``, ``label`` (a letter) and
  ``text``, which has the question, a line "(A) ..." for each option and the instruction to answer
  with a letter. The model is asked with this text as it stands.
* ``direct_attributes/`` and ``relative_position/`` with a JSON file beside each image
  (``vstar_bench_eval.py`` of penghao-wu/vstar reads these): ``question`` and ``options``, the first
  of which is right. They are shuffled, the same way each time, and written as in the other form.

Score: the share of right options. The authors' script compares the likelihoods of the options; ours
reads the generated answer, as ViCrop's evaluation does (see ``choices.py``).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from carve_eval.benchmarks.benchmark import Benchmark, DataError, Question
from carve_eval.benchmarks.choices import (
    INSTRUCTION,
    Options,
    letter_of,
    read_choice,
    share_unnamed,
)
from carve_eval.benchmarks.files import read_json, read_records

_QUESTIONS = "test_questions.jsonl"
_GROUPS = ("direct_attributes", "relative_position")
_OPTION = re.compile(r"^\(([A-Z])\) ?(.*?)\s*$", re.MULTILINE)


class _Line(msgspec.Struct):
    question_id: str | int
    image: str
    text: str
    category: str
    label: str


class _Annotation(msgspec.Struct):
    question: str
    options: Options


class VStar(Benchmark):
    """V*; the groups are its two categories."""

    name = "vstar"
    title = "V*"

    def read(self, place: Path) -> list[Question]:
        """Read ``test_questions.jsonl`` if it is there, else the files beside the images."""
        path = place / _QUESTIONS
        if path.is_file():
            return [_from_line(line, path) for line in read_records(path, _Line)]
        questions = [
            _from_annotation(annotation)
            for group in _GROUPS
            for annotation in sorted((place / group).glob("*.json"))
        ]
        if not questions:
            raise DataError(
                f"{place} has neither {_QUESTIONS} nor JSON files in {' and '.join(_GROUPS)}",
                "name the folder vstar_bench that was published",
            )
        return questions

    def score(self, question: Question, answer: str) -> float:
        """Return 1 if the answer means the right option."""
        index = read_choice(answer, question.options).index
        return float(index is not None and letter_of(index) in question.references)

    def measures(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
        """Return the share of answers that name no option."""
        return {"unnamed": share_unnamed(answers, [question.options for question in questions])}


def _from_line(line: _Line, path: Path) -> Question:
    options = _OPTION.findall(line.text)
    letters = [letter for letter, _ in options]
    if letters != [letter_of(index) for index in range(len(letters))] or len(letters) < 2:
        raise DataError(
            f"question {line.question_id} of {path} has the options {letters}",
            'its text should have lines "(A) ...", "(B) ...", in this order',
        )
    if line.label not in letters:
        raise DataError(
            f"question {line.question_id} of {path} has the label {line.label!r}",
            f"it should be one of {', '.join(letters)}",
        )
    return Question(
        id=str(line.question_id),
        image=path.parent / line.image,
        prompt=line.text,
        references=(line.label,),
        options=tuple(option for _, option in options),
        group=line.category,
    )


def _from_annotation(path: Path) -> Question:
    annotation = read_json(path, _Annotation)
    name = f"{path.parent.name}/{path.stem}"
    shuffled = list(annotation.options)
    random.Random(name).shuffle(shuffled)
    lines = [f"({letter_of(index)}) {option}" for index, option in enumerate(shuffled)]
    return Question(
        id=name,
        image=_image_beside(path),
        prompt="\n".join([annotation.question, *lines, INSTRUCTION]),
        references=(letter_of(shuffled.index(annotation.options[0])),),
        options=tuple(shuffled),
        group=path.parent.name,
    )


def _image_beside(path: Path) -> Path:
    """Return the image of the same name, whatever its format."""
    images = [file for file in sorted(path.parent.glob(f"{path.stem}.*")) if file != path]
    return images[0] if images else path.with_suffix(".jpg")
