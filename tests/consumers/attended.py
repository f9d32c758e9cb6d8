"""Texts that every consumer attends to, and Python's attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from carve_runtime import Attention, Carve
from tests.consumers.cases import IMAGE, QUESTION
from tests.consumers.families import FEW
from tests.consumers.families import QUESTION as FAMILY_QUESTION
from tests.support import PHOTOS, POCKET

#: What rows may differ by, as they may from PyTorch's.
CLOSE = 1e-5

#: Questions for pocket, and most steps.
ASKED = (
    (IMAGE, QUESTION, 8),
    (IMAGE, QUESTION, 1),
    (POCKET / "example.jpg", "What word is on the purple square?", 2),
    (PHOTOS / "landscape.jpg", "Où est le château, 東京 ?", FEW),
)


@dataclass(frozen=True)
class Attended:
    """A text about an image, and what Python's model attended to."""

    bundle: Path
    image: Path
    text: str
    generate: int
    attention: Attention


def attended(vlm: Carve, bundle: Path, image: Path, text: str, generate: int) -> Attended:
    """Attend in Python."""
    return Attended(bundle, image, text, generate, vlm.attend(image, text, generate=generate))


def attended_pocket(pocket: Carve) -> list[Attended]:
    """Attend to texts about scenes and a photograph."""
    return [attended(pocket, POCKET, *asked) for asked in ASKED]


def attended_cropped(bundle: Path) -> list[Attended]:
    """Attend to photographs whose sides the model does not see."""
    vlm = Carve.load(bundle)
    photos = (PHOTOS / name for name in ("landscape.jpg", "portrait.jpg"))
    return [attended(vlm, bundle, photo, QUESTION, 2) for photo in photos]


def attended_heads(bundle: Path) -> list[Attended]:
    """Attend with a bundle that has every head's rows: C and JavaScript give their mean."""
    case = attended(Carve.load(bundle), bundle, *ASKED[0])
    rows = case.attention.rows.mean(axis=2)
    return [replace(case, attention=replace(case.attention, rows=rows))]


def attended_family(bundle: Path, images: list[Path]) -> list[Attended]:
    """Attend to a tiny image, of fewer pixels than the map has tokens, and to a larger one."""
    vlm = Carve.load(bundle)
    chosen = (images[1], images[4])
    return [attended(vlm, bundle, image, FAMILY_QUESTION, FEW) for image in chosen]
