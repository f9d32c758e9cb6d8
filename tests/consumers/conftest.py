"""The pairs that every consumer answers with Python's results, and libcarve, built once."""

from __future__ import annotations

import ctypes as c
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from carve_runtime import Carve, CarveResult, load_image
from tests.conftest import Once
from tests.consumers.building import SOURCE, run
from tests.consumers.libcarve import Library
from tests.support import PHOTOS, POCKET, ROOT, SCENES

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


@pytest.fixture(scope="session")
def onnxruntime(once: Once[Path]) -> Path:
    """Headers and library; kept between runs, for the headers come over the network."""

    def fetch(_: Path) -> Path:
        kept = ROOT / "build" / "onnxruntime"
        run(SOURCE / "get_onnxruntime.sh", kept, sys.executable)
        return kept

    return once("onnxruntime", fetch)


@pytest.fixture(scope="session")
def installed(onnxruntime: Path, once: Once[Path]) -> Path:
    """The library and the examples, built without a warning and installed."""

    def build(folder: Path) -> Path:
        build, prefix = folder / "build", folder / "prefix"
        run(
            *("cmake", "-S", SOURCE, "-B", build, f"-DONNXRUNTIME_ROOT={onnxruntime}"),
            *(f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib"),
            *("-DCMAKE_C_FLAGS=-Werror", f"-DCMAKE_INSTALL_RPATH={onnxruntime / 'lib'}"),
        )
        run("cmake", "--build", build)
        run("cmake", "--install", build)
        for example in ("answer", "frames"):
            shutil.copy(build / f"carve_{example}", prefix)
        return prefix

    return once("libcarve", build)


@pytest.fixture(scope="session")
def library(installed: Path) -> Library:
    return Library(installed / "lib" / "libcarve.so.0")


@pytest.fixture(scope="session")
def model(library: Library) -> Iterator[c.c_void_p]:
    model = library.open(POCKET, threads=1)
    yield model
    library.c.carve_model_free(model)


@pytest.fixture(scope="session")
def view(library: Library, model: c.c_void_p) -> Iterator[c.c_void_p]:
    view = library.look(model, load_image(POCKET / "example.jpg"))
    yield view
    library.c.carve_view_free(view)


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
