"""Pocket's cases as the questions of a calibration file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from PIL import Image

from carve_export.precision.calibration import Entry
from tools.research.pocket.world.cases import Case


def entry_of(case: Case) -> Entry:
    """Return a case as a calibration file has it, without its image."""
    target = case.target
    if target is None:
        return Entry("", case.question, case.answer)
    x, y, half = float(target.x), float(target.y), target.side / 2
    return Entry("", case.question, case.answer, (x, y), (x - half, y - half, x + half, y + half))


def save_picture(
    folder: Path, name: str, image: Image.Image, entries: Iterable[Entry]
) -> list[Entry]:
    """Write a picture into a folder; return the questions with its name."""
    image.save(folder / name)
    return [msgspec.structs.replace(entry, image=name) for entry in entries]
