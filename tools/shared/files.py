"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; what is written there takes its place, or goes after an error.

    The suffix is the same. The folder is made if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".unfinished-{path.name}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Write plain data, dataclasses and structs as indented JSON."""
    with replacing(path) as aside:
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def kept(path: Path, kind: type[T], make: Callable[[], T]) -> T:
    """Return what a JSON file holds, a ``kind``; if it is missing, make and write it."""
    if not path.exists():
        write_json(path, make())
    return msgspec.json.decode(path.read_bytes(), type=kind)


def write_once(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill an empty folder that then becomes ``folder``, unless that is there."""
    if folder.exists():
        return
    aside = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    write(aside)
    aside.rename(folder)
