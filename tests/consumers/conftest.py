"""The pairs that every consumer answers, and Python's results to compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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


def random_texts(count: int) -> list[str]:
    """Return texts of many scripts, spaces and pieces of words that merge."""
    random = np.random.default_rng(0)
    pools = [range(1, 0x80), range(0x80, 0x250), range(0x2000, 0x2070), range(0x1F600, 0x1F640)]
    words = ["What", " word", "'s", " 'll", "  ", "\n\n", "42", "</s>", "<image>", "é", "東京"]
    texts = []
    for _ in range(count):
        parts = random.choice(words, random.integers(0, 5)).tolist()
        pool = pools[random.integers(len(pools))]
        parts += [chr(random.choice(pool)) for _ in range(random.integers(0, 8))]
        parts += [chr(random.integers(0x250, 0xD800)) for _ in range(random.integers(0, 4))]
        random.shuffle(parts)
        texts.append("".join(parts))
    return texts
