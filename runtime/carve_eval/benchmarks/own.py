"""Questions of your own: one JSON object a line.

``image`` (a path, from the file's folder), ``question``, and ``answer`` or a list of ``answers``
that are all right. As you like: ``options`` make it multiple choice, and the right ones are among
them; ``category`` is listed apart; ``box``, [x0, y0, x1, y1] in pixels, is where the object is;
``id`` names the question. Other fields are left alone.

Score: 1 if the answer is a right one, after the normalisation of ``vqa.py``; with options as for
A-OKVQA, see ``choices.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from carve_eval.benchmarks.benchmark import Benchmark, DataError, Question
from carve_eval.benchmarks.choices import Options, is_chosen, list_options, share_unnamed
from carve_eval.benchmarks.files import read_records
from carve_eval.benchmarks.vqa import normalize_answer


class _Record(msgspec.Struct):
    image: str
    question: str
    answer: str | None = None
    answers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    options: Options | None = None
    category: str = ""
    box: tuple[float, float, float, float] | None = None
    id: str | int | None = None


class OwnQuestions(Benchmark):
    """A file of labelled questions; the groups are its categories."""

    name = "jsonl"
    title = "own questions"
    is_file = True
    remedy = "mend the file; docs/eval.md says what a line holds"

    def read(self, place: Path) -> list[Question]:
        """Read the file; questions without an ``id`` are called by their number, from 1."""
        records = read_records(place, _Record, self.remedy)
        return [self._question(record, place, number) for number, record in enumerate(records, 1)]

    def score(self, question: Question, answer: str) -> float:
        """Return 1 if the answer, or the option that it means, is right."""
        if question.options:
            return float(is_chosen(answer, question.options, question.references))
        right = {normalize_answer(reference) for reference in question.references}
        return float(normalize_answer(answer) in right)

    def measures(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
        """Return the share of answers that name no option, of the questions that have some."""
        chosen = [pair for pair in zip(questions, answers, strict=True) if pair[0].options]
        if not chosen:
            return {}
        options = [question.options for question, _ in chosen]
        return {"unnamed": share_unnamed([answer for _, answer in chosen], options)}

    def _question(self, record: _Record, path: Path, number: int) -> Question:
        name = str(number if record.id is None else record.id)
        fault = _fault(record)
        if fault:
            raise DataError(f"the question {name!r} of {path} {fault}", self.remedy)
        options = tuple(record.options or ())
        return Question(
            id=name,
            image=path.parent / record.image,
            prompt=list_options(record.question, options) if options else record.question,
            references=_answers(record),
            options=options,
            group=record.category,
            box=record.box,
        )


def _answers(record: _Record) -> tuple[str, ...]:
    return record.answers or (() if record.answer is None else (record.answer,))


def _fault(record: _Record) -> str | None:
    """Return what is wrong with a record, if anything is."""
    answers, options = _answers(record), record.options
    if not record.question.strip():
        return "is empty"
    if "\0" in record.image:
        return f"has the image {record.image!r}, which is no path"
    if (record.answer is None) == (record.answers is None):
        return "needs either answer or answers"
    strange = [answer for answer in answers if options and answer not in options]
    if strange:
        return f"has the answer {strange[0]!r}, which is none of its options"
    if record.box and not (record.box[0] < record.box[2] and record.box[1] < record.box[3]):
        return f"has the box {list(record.box)}, which is not [x0, y0, x1, y1]"
    return None
