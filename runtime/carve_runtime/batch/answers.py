"""The file of answers: JSON Lines that grow by whole lines, belong to one process and go on later.

Beside it lies ``NAME.settings.json``, which says how the answers were made.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec

from carve_models.aside import take_lock
from carve_models.errors import RecordError, first_line
from carve_models.folder import MALFORMED, read_document
from carve_models.replacing import write_json
from carve_models.settings import shown
from carve_runtime.batch.record import ERROR, READ_FROM, Record

_SUFFIX = ".settings.json"
#: Names of tables, which these lines would not be.
_TABLES = (".csv", ".tsv")
_KEY_BYTES = 8
_ANOTHER = "name another file, or remove this one to answer all anew"


class _Answered(msgspec.Struct):
    """What is read of an answer that was written before."""

    image: str | None
    question: str
    read_from: str | None
    error: str | None = None


class AnswersFile:
    """An open file of answers; :func:`open_answers` makes one.

    Attributes:
        answered: records that have their line, those of earlier runs included.
        failed: how many of them have an error.
    """

    def __init__(self, path: Path, stream: FileIO) -> None:
        self._path, self._stream = path, stream
        self._folder = path.parent.absolute()
        self._done: Counter[int] = Counter()
        self._end = self.answered = self.failed = 0

    def read(self) -> None:
        """Read what is there, and cut off a last line that a kill has left unfinished.

        Raises:
            RecordError: a line is no answer.
        """
        self._stream.seek(0)
        for line in _lines(self._stream):
            if not line.endswith(b"\n"):
                self._stream.truncate(self._end)
                break
            self._end += len(line)
            try:
                answer = msgspec.json.decode(line, type=_Answered)
            except MALFORMED as error:
                raise RecordError(
                    f"{self._path}, line {self.answered + 1} is no answer ({first_line(error)})",
                    _ANOTHER,
                ) from error
            self._done[_key(answer.image, answer.read_from, answer.question)] += 1
            self._count(failed=answer.error is not None)

    def missing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records without an answer that was here when the file was opened.

        One that comes several times has as many answers.
        """
        left = self._done.copy()
        for record in records:
            key = _key(record.label, self._from_here(record.read_from), record.question)
            if left[key]:
                left[key] -= 1
            else:
                yield record

    def write(self, answer: Mapping[str, Any]) -> None:
        """Add one line, whole or not at all.

        Its ``read_from`` becomes relative to the folder of this file, so that both can be moved.

        Raises:
            OSError: it cannot be written.
        """
        placed = {**answer, READ_FROM: self._from_here(answer[READ_FROM])}
        line = msgspec.json.encode(placed) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += self._stream.write(line[written:])
        except BaseException as error:
            self._stream.truncate(self._end)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self._path)) from error
            raise
        self._end += len(line)
        self._count(failed=answer[ERROR] is not None)

    def _from_here(self, path: str | None) -> str | None:
        """Return a path relative to the folder of this file."""
        try:
            return path and os.path.relpath(path, self._folder)
        except ValueError:  # on another drive of Windows
            return path

    def _count(self, *, failed: bool) -> None:
        self.answered += 1
        self.failed += failed


@contextmanager
def open_answers(path: Path, made_with: Mapping[str, Any]) -> Iterator[AnswersFile]:
    """Open a file of answers to add to it, for this process alone; its folder is made.

    Args:
        path: the file. Unless it is empty, it has to be one that was written here.
        made_with: plain data that says how the answers are made; another time it has to be equal.

    Raises:
        RecordError: another process writes to it, it holds something else, or its name is that of
            a table.
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise RecordError(f"{path} is no file", "name a file for the answers")
    if path.suffix.lower() in _TABLES:
        raise RecordError(f"answers are JSON Lines, {path.name} names a table", "end it in .jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as stream:
        if not take_lock(stream):
            raise RecordError(
                f"{path} is being written by another process", "wait for its end, or end it"
            )
        try:
            _require_same(path, msgspec.json.decode(msgspec.json.encode(made_with)))
        except BaseException:
            if path.stat().st_size == 0:
                path.unlink()
            raise
        answers = AnswersFile(path, stream)
        answers.read()
        yield answers


def _require_same(path: Path, made_with: dict[str, Any]) -> None:
    """Raise :class:`RecordError` unless the answers were made so; for the first, note it."""
    beside = path.with_name(path.name + _SUFFIX)
    if path.stat().st_size == 0:
        write_json(beside, made_with)
        return
    try:
        before = msgspec.json.decode(read_document(beside), type=dict[str, Any])
    except (OSError, *MALFORMED) as error:
        raise RecordError(
            f"{path} is there, and how it was made is not known: {beside} cannot be read", _ANOTHER
        ) from error
    for name, value in made_with.items():
        if before.get(name) != value:
            raise RecordError(
                f"{path} holds answers with {name} {shown(before.get(name))}, "
                f"and {shown(value)} is asked for",
                _ANOTHER,
            )


def _key(image: str | None, read_from: str | None, question: str) -> int:
    """Return a short stand-in: of a million records the keys take 100 MB."""
    text = msgspec.json.encode((image, read_from, question))
    return int.from_bytes(blake2b(text, digest_size=_KEY_BYTES).digest(), "big")


def _lines(stream: FileIO) -> Iterator[bytes]:
    """Yield the lines of an unbuffered stream."""
    with os.fdopen(os.dup(stream.fileno()), "rb") as buffered:
        yield from buffered
