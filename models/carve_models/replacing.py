"""Files that appear complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; what is written there takes its place, or goes after an error.

    The suffix is the same. The folder is made if it is missing.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".unfinished-{path.name}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, document: Any, *, indent: int = 2) -> None:
    """Write plain data, dataclasses and structs as indented JSON, complete or not at all."""
    with replacing(path) as aside:
        text = msgspec.json.format(msgspec.json.encode(document), indent=indent)
        aside.write_bytes(text + b"\n")
