"""Read files of questions; whatever is wrong with them is said with its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from carve_eval.benchmarks.benchmark import REMEDY, DataError, Question
from carve_models.folder import MALFORMED

T = TypeVar("T")


def read_json(path: Path, kind: type[T]) -> T:
    """Decode a JSON file.

    Raises:
        DataError: the file is missing, is not JSON, or lacks a field of ``kind``.
    """
    return _decode(_read(path, REMEDY), kind, str(path), REMEDY)


def read_records(path: Path, kind: type[T], remedy: str = REMEDY) -> list[T]:
    """Decode a file of one JSON object per line, or one JSON array of such objects.

    Raises:
        DataError: the file is missing or empty, or a record is malformed.
    """
    content = _read(path, remedy)
    if content.lstrip().startswith(b"["):
        records: list[T] = _decode(content, list[kind], str(path), remedy)  # type: ignore[valid-type]
    else:
        lines = enumerate(content.splitlines(), 1)
        records = [
            _decode(line, kind, f"line {number} of {path}", remedy)
            for number, line in lines
            if line.strip()
        ]
    if not records:
        raise DataError(f"{path} holds no questions", remedy)
    return records


def image_folder(folder: Path, names: Sequence[str]) -> Path:
    """Return the first of the named sub-folders that is there.

    Raises:
        DataError: none is.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise DataError(f"{folder} has no folder {' or '.join(names)} with the images", REMEDY)


def require_complete(questions: Sequence[Question], remedy: str = REMEDY) -> None:
    """Check that every id is unique and every image is there.

    Raises:
        DataError: naming the first fault, and how many there are.
    """
    ids: set[str] = set()
    for question in questions:
        if question.id in ids:
            raise DataError(f"the question {question.id!r} occurs twice", remedy)
        ids.add(question.id)
    images = dict.fromkeys(question.image for question in questions)
    missing = [image for image in images if not image.is_file()]
    if missing:
        rest = f", and {len(missing) - 1} more of {len(images)} images" if missing[1:] else ""
        raise DataError(f"{missing[0]} is missing{rest}", remedy)


def digest(questions: Iterable[Question]) -> str:
    """Return a SHA-256 sum of what is asked and expected, wherever the images lie."""
    parts = [(q.id, q.image.name, q.prompt, q.references, q.options, q.box) for q in questions]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _read(path: Path, remedy: str) -> bytes:
    if not path.is_file():
        raise DataError(f"{path} is missing", remedy)
    return path.read_bytes()


def _decode(content: bytes, kind: type[T], place: str, remedy: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except MALFORMED as error:
        raise DataError(f"{place} is malformed: {error}", remedy) from error
