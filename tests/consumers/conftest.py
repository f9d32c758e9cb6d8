"""The pairs that every consumer answers, and Python's results to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from carve_runtime import Carve, CarveResult
from tests.support import PHOTOS, SCENES

PAIRS = 20


@dataclass(frozen=True)
class Pair:
    """An image, a question, and what Python makes of them."""

    image: Path
    question: str
    result: CarveResult


@pytest.fixture(scope="session")
def pairs(pocket: Carve) -> list[Pair]:
    scenes = json.loads((SCENES / "questions.json").read_text())
    asked = [(SCENES / entry["image"], entry["question"]) for entry in scenes[: PAIRS - 4]]
    for photo in ("landscape.jpg", "portrait.jpg"):
        asked += [(PHOTOS / photo, "What is this?"), (PHOTOS / photo, "Où est le château, 東京 ?")]
    assert len(asked) == PAIRS
    return [Pair(image, question, pocket.ask(image, question)) for image, question in asked]
