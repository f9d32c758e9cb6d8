"""The JavaScript library answers as the Python runtime does, under node's test runner."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_runtime import Carve, load_image
from tests.consumers.building import with_node
from tests.consumers.conftest import Pair, random_texts
from tests.support import POCKET, ROOT

SOURCE = ROOT / "runtime" / "js"
TESTS = Path(__file__).parent / "js"
TEXTS = 500
HANGS = 900  # seconds, many times what any of the runs takes
CHANGES: list[dict[str, Any]] = [
    {"steps": "all", "strategy": "size", "rule": "released", "mask_top_p": 0.3},
    {"steps": "last", "strategy": "remove_small", "outlier_percent": 5.0},
    {"final_prompt": "refined", "geometry": "released", "max_refined_pixels": 5000},
    {"layers": [0, 2, 3], "max_regions": 3, "max_new_tokens": 2},
    {"contrast": "off"},
    {"contrast": "auto", "layers": [1]},
    {"contrast": "auto", "layers": [2, 3], "steps": "all"},
    {"regularizer": "auto", "mask_top_p": "auto", "steps": "all", "layers": [0, 1, 2]},
]


def camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def written(folder: Path, index: int, pair: Pair, changes: dict[str, Any]) -> dict[str, Any]:
    """Write a pair's arrays, and return what pairs.json says of it."""
    result = pair.result
    pixels = load_image(pair.image)
    arrays: dict[str, Any] = {
        "image": pixels,
        "mask": result.mask.astype(np.uint8),
        "saliency": result.saliency,
        "refined": result.refined_image,
    }
    for name, array in arrays.items():
        (folder / f"{index}.{name}").write_bytes(array.tobytes())
    return {
        "name": pair.image.name,
        "path": str(pair.image),
        "question": pair.question,
        "changes": {camel(name): value for name, value in changes.items()},
        "size": [pixels.shape[1], pixels.shape[0]],
        "answer": result.answer,
        "plain_answer": result.plain_answer,
        "ids": result.token_ids,
        "plain_ids": result.plain_token_ids,
        "bbox": result.bbox,
        "refined_size": [result.refined_image.shape[1], result.refined_image.shape[0]],
        **{name: f"{index}.{name}" for name in arrays},
    }


@pytest.fixture(scope="module")
def folder(pairs: list[Pair], pocket: Carve, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    asked: list[tuple[Pair, dict[str, Any]]] = [(pair, {}) for pair in pairs]
    for changes in CHANGES:
        image, question = pairs[0].image, pairs[0].question
        asked.append((Pair(image, question, pocket.ask(image, question, **changes)), changes))
    encode = pocket._model.text.encode
    document = {
        "bundle": str(POCKET),
        "pairs": [written(folder, i, pair, changes) for i, (pair, changes) in enumerate(asked)],
        "texts": [{"text": text, "ids": encode(text).tolist()} for text in random_texts(TEXTS)],
    }
    (folder / "pairs.json").write_text(json.dumps(document))
    return folder


def node(*command: object, **environment: str) -> None:
    assert (SOURCE / "node_modules").is_dir(), f"tests/setup.sh fills {SOURCE}/node_modules"
    done = subprocess.run(
        list(map(str, command)),
        cwd=SOURCE,
        env=with_node() | environment,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_answers_as_python(folder: Path) -> None:
    node("node", "--test", TESTS / "pairs.test.mjs", CARVE_PAIRS=str(folder))


def test_the_page(folder: Path) -> None:
    """The same pairs through the page in headless Chromium, and what else a visitor does there."""
    node("node", "--test", TESTS / "page.test.mjs", CARVE_PAIRS=str(folder))


def test_bad_input() -> None:
    node("node", "--test", TESTS / "input.test.mjs")


def test_the_declarations() -> None:
    node("npx", "--no", "tsc")
