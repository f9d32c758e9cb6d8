"""Every answer beside the question and the right answers, for people and spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from carve_eval.runner import Run
from carve_models.errors import SettingsError
from carve_models.replacing import replacing

_JSON_LINES, _CSV = ".jsonl", ".csv"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One question under one setting; scores are 1 for right, 0 for wrong, or between.

    Attributes:
        benchmark: its name.
        setting: its label.
        id: the question's.
        category: the part of the benchmark, or "".
        image: path of the image.
        question: what was asked.
        options: the choices, if there are any.
        answers: what is right.
        plain: the plain answer.
        plain_score: its score.
        refined: the answer after a closer look.
        refined_score: its score.
        box: what that look went to, (x0, y0, x1, y1) in pixels.
        entropy: of the attention, in nats, if it was read.
        probability: of the plain answer, if it is known.
    """

    benchmark: str
    setting: str
    id: str
    category: str
    image: str
    question: str
    options: tuple[str, ...]
    answers: tuple[str, ...]
    plain: str
    plain_score: float
    refined: str
    refined_score: float
    box: tuple[int, int, int, int]
    entropy: float | None
    probability: float | None


def require_format(path: Path) -> None:
    """Raise :class:`SettingsError` unless the suffix names a format that rows are written in."""
    if path.suffix not in (_JSON_LINES, _CSV):
        raise SettingsError(
            f"rows cannot be written as {path.name!r}",
            f"give a file that ends in {_JSON_LINES} or {_CSV}",
        )


def rows(runs: Sequence[Run]) -> Iterator[Row]:
    """Yield the answered questions of each run."""
    for run in runs:
        for question, answer in run.answered:
            yield Row(
                benchmark=run.benchmark.name,
                setting=run.setting.label,
                id=question.id,
                category=question.group,
                image=str(question.image),
                question=question.prompt,
                options=question.options,
                answers=question.references,
                plain=answer.plain,
                plain_score=run.benchmark.score(question, answer.plain),
                refined=answer.refined,
                refined_score=run.benchmark.score(question, answer.refined),
                box=answer.box,
                entropy=answer.entropy,
                probability=answer.probability,
            )


def write_rows(path: Path, runs: Sequence[Run]) -> None:
    """Write the rows in the format that the suffix names, complete or not at all.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    write = _write_csv if path.suffix == _CSV else _write_json_lines
    with replacing(path) as aside:
        write(aside, rows(runs))


def _write_json_lines(path: Path, lines: Iterator[Row]) -> None:
    with path.open("wb") as stream:
        stream.writelines(msgspec.json.encode(row) + b"\n" for row in lines)


def _write_csv(path: Path, lines: Iterator[Row]) -> None:
    """Write one column a field; lists are JSON."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(Row.__struct_fields__)
        table.writerows(map(_cell, msgspec.structs.astuple(row)) for row in lines)


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else value
