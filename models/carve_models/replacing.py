"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from carve_models.aside import is_vacant
from carve_models.errors import SettingsError

_RANDOM_BYTES = 4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; what is written there takes its place, or goes after an error.

    The suffix is the same. The folder is made if it is missing.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _beside(path)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def require_vacant(folder: Path) -> None:
    """Raise :class:`SettingsError` unless nothing is at a folder's place, or an empty folder."""
    if not is_vacant(folder):
        raise SettingsError(f"{folder} is already there", "choose another folder, or remove it")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside ``folder``; it becomes that one, or goes after an error.

    Raises:
        SettingsError: something is there already.
        OSError: it cannot be written.
    """
    require_vacant(folder)
    aside = _beside(folder)
    aside.mkdir(parents=True)
    try:
        yield aside
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a name that no other writer of the path takes; the suffix is the same."""
    return path.with_name(f".unfinished-{secrets.token_hex(_RANDOM_BYTES)}-{path.name}")


def write_json(path: Path, document: Any, *, indent: int = 2) -> None:
    """Write plain data, dataclasses and structs as indented JSON, complete or not at all."""
    with replacing(path) as aside:
        text = msgspec.json.format(msgspec.json.encode(document), indent=indent)
        aside.write_bytes(text + b"\n")
