"""Folders, patterns, files of records and standard input: what a batch is asked about."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeAlias

from carve_models.errors import RecordError
from carve_runtime.batch.record import Record
from carve_runtime.batch.tables import READERS, Row, json_lines_or_paths, rows_of
from carve_runtime.images.load import is_picture

#: A folder, a file of records, a picture, or a pattern of such files; or an open stream of lines.
Input: TypeAlias = "str | os.PathLike[str] | BinaryIO"

_STREAM = "standard input"
#: How the names of the pictures end that are written.
_SAVED = ".png"


class Inputs:
    """Records in the order of the inputs; they are read anew each time one goes through them."""

    def __init__(self, inputs: Iterable[Input], questions: Sequence[str] = ()) -> None:
        """List the pictures; files of records are not opened yet, a stream is read to its end.

        Args:
            inputs: a folder stands for the pictures in it and below, sorted by name; what is
                hidden and links to folders are left out. A pattern such as ``photos/**/*.jpg``
                stands for pictures and files of records. The latter end in .jsonl, .ndjson or .csv,
                and name pictures relative to their own folder. A stream has JSON Lines, or paths of
                pictures.
            questions: what is asked of every picture that comes without a question of its own.

        Raises:
            RecordError: an input that is not there, has no pictures, or is not text.
        """
        self._questions = tuple(questions)
        for question in self._questions:
            _require_text(question)
        self._parts: list[str | BinaryIO] = []  # for a million, Path takes five times as much
        self._folders: list[Path] = []
        self._patterns: list[Path] = []
        for given in inputs:
            if not isinstance(given, (str, os.PathLike)):
                self._parts.append(_kept(given))
                continue
            if Path(given).is_dir():
                self._folders.append(Path(given))
            elif not Path(given).exists():
                self._patterns.append(Path(given))
            self._parts += _files(given)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records.

        Raises:
            RecordError: a file of records cannot be read, a line of it is malformed, or a picture
                has no question.
        """
        numbers = count(1)
        for part in self._parts:
            for row, folder in _rows(part):
                questions = self._questions if row.question is None else (row.question,)
                if not questions:
                    raise RecordError(f"{row.place} has no question", "give one with --question")
                for question in questions:
                    yield _record(row, folder, question, next(numbers))

    def require_apart(self, output: Path) -> None:
        """Raise :class:`RecordError` if a file to be written is one of the inputs."""
        names = [part for part in self._parts if isinstance(part, str) and _is_table(part)]
        if output.exists() and any(Path(name).samefile(output) for name in names):
            raise RecordError(f"{output} is both an input and the output", "name another output")

    def require_outside(self, save_dir: Path) -> None:
        """Raise :class:`RecordError` if pictures to be written would be inputs the next time."""
        for folder in self._folders:
            if save_dir.resolve().is_relative_to(folder.resolve()):
                raise RecordError(
                    f"{save_dir} lies in {folder}: the pictures there would be inputs",
                    "name a folder outside of it",
                )
        for pattern in self._patterns:
            if _may_fit(pattern, save_dir):
                raise RecordError(
                    f"{pattern} may fit the pictures in {save_dir}: they would be inputs",
                    "name a folder that the pattern does not reach",
                )


def _files(given: str | os.PathLike[str]) -> list[str]:
    """Return the pictures and files of records that an input stands for."""
    path = Path(given)
    if path.is_dir():
        found = [os.fspath(file) for file in _walk(path) if is_picture(file)]
        what = "has no pictures in it or below"
    elif path.exists():
        return [os.fspath(path)]
    elif has_magic(os.fspath(given)):
        matches = sorted(glob(os.fspath(given), recursive=True))  # noqa: PTH207
        found = [name for name in matches if Path(name).is_file() and _is_input(Path(name))]
        what = "fits no picture and no file of records"
    else:
        raise RecordError(f"there is no file or folder {given}", "check the path of the input")
    if not found:
        raise RecordError(f"{given} {what}", "check the path, and the ends of the files' names")
    return found


def _may_fit(pattern: Path, save_dir: Path) -> bool:
    """Return whether a pattern can fit pictures in the folders of records in a folder.

    That is, whether it goes as deep and takes PNG; other parts of names are not looked at.
    """
    parts, suffix = pattern.parts, pattern.suffix.lower()
    if suffix not in ("", _SAVED) and not has_magic(suffix):
        return False
    start = next(index for index, part in enumerate(parts) if has_magic(part))
    fixed, written = Path(*parts[:start]).resolve(), save_dir.resolve()
    if not written.is_relative_to(fixed):
        return False
    depth = len(written.relative_to(fixed).parts) + 2  # a record's folder, and a file in it
    return "**" in parts or len(parts) - start == depth


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and below, without hidden ones and links to folders, sorted."""

    def refuse(error: OSError) -> None:
        raise RecordError(
            f"{error.filename} cannot be read ({error.strerror})", "check that you may read it"
        ) from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


def _is_input(path: Path) -> bool:
    return is_picture(path) or _is_table(path)


def _is_table(path: str | Path) -> bool:
    return Path(path).suffix.lower() in READERS


def _kept(stream: BinaryIO) -> BinaryIO:
    """Return a copy of a stream that can be read more than once."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115, closed with the last reference
    shutil.copyfileobj(stream, copy)
    if copy.tell() == 0:
        raise RecordError(f"{_STREAM} is empty", "pipe JSON Lines or paths of pictures into it")
    return copy


def _rows(part: str | BinaryIO) -> Iterator[tuple[Row, Path]]:
    """Yield what a file or a stream names, and the folder that its paths start from."""
    here = Path()
    if not isinstance(part, str):
        part.seek(0)
        yield from ((row, here) for row in json_lines_or_paths(part, _STREAM))
    elif _is_table(part):
        path = Path(part)
        yield from ((row, path.parent) for row in rows_of(path))
    else:
        yield Row(name=part, place=part), here


def _record(row: Row, folder: Path, question: str, number: int) -> Record:
    """Return a record whose name JSON can hold: file systems also take what is not UTF-8."""
    try:
        return Record(
            image=folder / row.name,
            question=question,
            name=os.fsencode(row.name).decode(errors="replace"),
            columns=row.columns,
            number=number,
        )
    except RecordError as error:
        raise RecordError(f"{row.place}: {error.cause}", error.remedy) from error


def _require_text(question: str) -> None:
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise RecordError(
            f"the question {question!r} is not UTF-8", "check the encoding of the terminal"
        ) from error
