"""Files and folders that are made once, complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from carve_models.replacing import write_json

T = TypeVar("T")


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
