"""Files of records, line by line: JSON Lines and CSV with columns ``image`` and ``question``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from carve_models.errors import RecordError, first_line
from carve_models.folder import MALFORMED
from carve_models.settings import shown
from carve_runtime.batch.record import IMAGE, QUESTION

_REMEDY = f'give each record an "{IMAGE}" and, unless all are asked the same, a "{QUESTION}"'


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture as an input names it.

    Attributes:
        name: as it stands there.
        question: what is asked of it, ``None`` if the input does not say.
        columns: what else stands there.
        place: where that is, for messages.
    """

    name: str
    question: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    place: str


def json_lines(stream: BinaryIO, name: str) -> Iterator[Row]:
    """Yield the rows of JSON Lines, an object each; empty lines are left out.

    Raises:
        RecordError: a line is not such an object.
    """
    for number, line in enumerate(stream, 1):
        text = line.strip()
        if text:
            yield _json_row(text, f"{name}, line {number}")


def json_lines_or_paths(stream: BinaryIO, name: str) -> Iterator[Row]:
    """Yield rows as :func:`json_lines` does, where other lines are paths of pictures."""
    for number, line in enumerate(stream, 1):
        text, place = line.rstrip(b"\r\n"), f"{name}, line {number}"
        if text.lstrip().startswith(b"{"):
            yield _json_row(text, place)
        elif text:
            yield Row(name=os.fsdecode(text), place=place)


def csv_rows(stream: BinaryIO, name: str) -> Iterator[Row]:
    """Yield the rows of a CSV file, whose first line names the columns.

    Raises:
        RecordError: there is no column ``image``, a name twice, or a line that does not fit.
    """
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    reader = csv.reader(text, strict=True, skipinitialspace=True)
    try:
        header = next(reader, [])
        _require_header(header, name)
        for cells in filter(None, reader):
            place = f"{name}, line {reader.line_num}"
            if len(cells) != len(header):
                raise RecordError(
                    f"{place} has {len(cells)} cells, the first line {len(header)}",
                    "put cells that hold commas or line breaks in quotes",
                )
            yield _row(dict(zip(header, cells, strict=True)), place)
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordError(
            f"{name} cannot be read beyond line {reader.line_num}: {first_line(error)}",
            "save it as CSV, separated by commas, in UTF-8",
        ) from error


#: How a file of records is read, by the end of its name.
READERS: dict[str, Callable[[BinaryIO, str], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
}


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file whose name ends as one of ``READERS``.

    Raises:
        RecordError: the file cannot be read, or a line is malformed.
    """
    try:
        with path.open("rb") as stream:
            yield from READERS[path.suffix.lower()](stream, str(path))
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read ({error.strerror or error})", "check that you may read it"
        ) from error


def _require_header(header: list[str], name: str) -> None:
    if IMAGE not in header:
        raise RecordError(
            f'the first line of {name} names no column "{IMAGE}", but {shown(header)}',
            f'name the columns there, "{IMAGE}" and "{QUESTION}" among them, separated by commas',
        )
    if len(set(header)) != len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise RecordError(f"{name} has two columns {twice!r}", "rename one of them")


def _json_row(text: bytes, place: str) -> Row:
    try:
        document = msgspec.json.decode(text)
    except MALFORMED as error:
        raise RecordError(
            f"{place} is not JSON ({first_line(error)})", "put one JSON object on each line"
        ) from error
    if not isinstance(document, dict):
        raise RecordError(f"{place} is no JSON object, but {shown(document)}", _REMEDY)
    return _row(document, place)


def _row(cells: dict[str, Any], place: str) -> Row:
    image, question = cells.pop(IMAGE, None), cells.pop(QUESTION, None)
    if not isinstance(image, str) or not image:
        raise RecordError(f'{place} has as "{IMAGE}" {shown(image)}', _REMEDY)
    if not isinstance(question, (str, type(None))):
        raise RecordError(f'{place} has as "{QUESTION}" {shown(question)}', _REMEDY)
    return Row(name=image, question=question or None, columns=cells, place=place)
