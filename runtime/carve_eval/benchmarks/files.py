"""Read the benchmarks' files; whatever is wrong with them is said with its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from carve_eval.benchmarks.benchmark import DataError, Question

T = TypeVar("T")

_REMEDY = "unpack the published files again; docs/eval.md says how each data set is laid out"


def read_json(path: Path, kind: type[T]) -> T:
    """Decode a JSON file.

    Raises:
        DataError: the file is missing, is not JSON, or lacks a field of ``kind``.
    """
    return _decode(_read(path), kind, str(path))


def read_records(path: Path, kind: type[T]) -> list[T]:
    """Decode a file of one JSON object per line, or one JSON array of such objects.

    Raises:
        DataError: the file is missing or empty, or a record is malformed.
    """
    content = _read(path)
    if content.lstrip().startswith(b"["):
        records: list[T] = _decode(content, list[kind], str(path))  # type: ignore[valid-type]
    else:
        lines = enumerate(content.splitlines(), 1)
        records = [
            _decode(line, kind, f"line {number} of {path}")
            for number, line in lines
            if line.strip()
        ]
    if not records:
        raise DataError(f"{path} holds no questions", _REMEDY)
    return records


def image_folder(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of the named sub-folders that is there.

    Raises:
        DataError: none is.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise DataError(f"{folder} has no folder {' or '.join(names)} with the images", _REMEDY)


def require_complete(questions: Sequence[Question]) -> None:
    """Check that every id is unique and every image is there.

    Raises:
        DataError: naming the first fault, and how many there are.
    """
    ids: set[str] = set()
    for question in questions:
        if question.id in ids:
            raise DataError(f"the question {question.id!r} occurs twice", _REMEDY)
        ids.add(question.id)
    images = dict.fromkeys(question.image for question in questions)
    missing = [image for image in images if not image.is_file()]
    if missing:
        rest = f", and {len(missing) - 1} more of {len(images)} images" if missing[1:] else ""
        raise DataError(f"{missing[0]} is missing{rest}", _REMEDY)


def digest(questions: Iterable[Question]) -> str:
    """Return a SHA-256 sum of what is asked and expected, wherever the images lie."""
    parts = [(q.id, q.image.name, q.prompt, q.references, q.options) for q in questions]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path} is missing", _REMEDY)
    return path.read_bytes()


def _decode(content: bytes, kind: type[T], place: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{place} is malformed: {error}", _REMEDY) from error
