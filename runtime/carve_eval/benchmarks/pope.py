"""POPE: is there such an object in the image?

AoiDragon/POPE publishes three files of questions, ``coco_pope_random.json``, ``..._popular.json``
and ``..._adversarial.json``, one object a line: ``question_id``, ``image``, ``text`` and ``label``
("yes" or "no"). The images are those of COCO's ``val2014``. An answer is read as ``evaluate.py``
there and LLaVA's ``llava/eval/eval_pope.py`` do: "no" if its first sentence has one of the words
"No", "no", "not", else "yes". "Yes" is the positive class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from carve_eval.benchmarks.benchmark import Benchmark, DataError, Question
from carve_eval.benchmarks.files import image_folder, read_records

_GROUPS = ("random", "popular", "adversarial")
_IMAGES = ("val2014", "images")
_NEGATIONS = frozenset({"No", "not", "no"})


class _Line(msgspec.Struct):
    question_id: int
    image: str
    text: str
    label: Literal["yes", "no"]


class Pope(Benchmark):
    """POPE; the groups are its three ways to choose absent objects."""

    name = "pope"
    title = "POPE"

    def read(self, place: Path) -> list[Question]:
        """Read whichever of the three files are in the folder or its ``coco``."""
        files = {group: path for group in _GROUPS for path in _files(place, group)}
        if not files:
            raise DataError(
                f"{place} has no file coco_pope_{_GROUPS[0]}.json or the like",
                "copy the files of output/coco of the repository AoiDragon/POPE",
            )
        images = image_folder(place, _IMAGES)
        return [
            _question(line, group, images)
            for group, path in files.items()
            for line in read_records(path, _Line)
        ]

    def score(self, question: Question, answer: str) -> float:
        """Return 1 if "yes" or "no" is right."""
        return float(read_label(answer) in question.references)

    def measures(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
        """Return precision, recall, F1 and the share of "yes"."""
        said = [read_label(answer) == "yes" for answer in answers]
        true = [question.references == ("yes",) for question in questions]
        hits = sum(answer and label for answer, label in zip(said, true, strict=True))
        return {
            "precision": _share(hits, sum(said)),
            "recall": _share(hits, sum(true)),
            "F1": _share(2 * hits, sum(said) + sum(true)),
            "yes": _share(sum(said), len(said)),
        }


def read_label(answer: str) -> str:
    """Return "yes" or "no", as POPE's evaluation reads an answer."""
    sentence = answer.split(".", 1)[0].replace(",", "")
    return "no" if _NEGATIONS & set(sentence.split(" ")) else "yes"


def _files(folder: Path, group: str) -> list[Path]:
    """Return the file of a group, if it is there."""
    pattern = f"*_pope_*{group}.json"
    files = sorted([*folder.glob(pattern), *(folder / "coco").glob(pattern)])
    if files[1:]:
        raise DataError(f"{files[0]} and {files[1]} are both there", "keep those of one data set")
    return files


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _question(line: _Line, group: str, images: Path) -> Question:
    return Question(
        id=f"{group}/{line.question_id}",
        image=images / line.image,
        prompt=line.text,
        references=(line.label,),
        group=group,
    )
