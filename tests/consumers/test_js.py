"""The JavaScript library answers as the Python runtime does, under node's test runner."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_models.manifest import read_manifest
from carve_runtime import Carve, load_image
from tests.consumers.attended import CLOSE, Attended, attended_pocket
from tests.consumers.cases import Pair
from tests.consumers.changes import CLOSE as CLOSE_CHANGE
from tests.consumers.changes import Changed
from tests.consumers.conftest import FamilyPairsOf
from tests.consumers.families import FAMILIES
from tests.consumers.node import node, node_tests
from tests.support import POCKET, ROOT
from tools.checks.settings_table.javascript import camel

SOURCE = ROOT / "runtime" / "js"
TESTS = Path(__file__).parent / "js"


def written(folder: Path, index: int, pair: Pair) -> dict[str, Any]:
    """Write a pair's arrays, and return what pairs.json says of it."""
    result, manifest = pair.result, read_manifest(pair.bundle)
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
        "bundle": str(pair.bundle),
        "name": pair.image.name,
        "path": str(pair.image),
        "question": pair.question,
        "changes": {camel(name): value for name, value in pair.changes.items()},
        "size": [pixels.shape[1], pixels.shape[0]],
        "answer": result.answer,
        "plain_answer": result.plain_answer,
        "ids": result.token_ids,
        "plain_ids": result.plain_token_ids,
        "probability": result.probability,
        "plain_probability": result.plain_probability,
        "entropy": result.entropy,
        "skipped": result.skipped,
        "grid": result.grid,
        "bbox": result.bbox,
        "refined_limited": result.refined_limited,
        # GroupQueryAttention of ONNX Runtime for Node rounds half precision in other places.
        "exact": (manifest.dtype, manifest.profile) != ("float16", "ort"),
        "refined_size": [result.refined_image.shape[1], result.refined_image.shape[0]],
        **{name: f"{index}.{name}" for name in arrays},
    }


def write_pairs(folder: Path, pairs: list[Pair], **others: Any) -> Path:
    """Write ``pairs.json`` and the arrays that it names."""
    asked = [written(folder, i, pair) for i, pair in enumerate(pairs)]
    (folder / "pairs.json").write_text(json.dumps({"pairs": asked, **others}))
    return folder


@pytest.fixture(scope="module")
def folder(
    pairs: list[Pair],
    changed_pairs: list[Pair],
    cropped_pairs: list[Pair],
    half_pairs: list[Pair],
    heads_pairs: list[Pair],
    adopted_pairs: list[Pair],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    asked = [*pairs, *changed_pairs, *cropped_pairs, *half_pairs, *heads_pairs, *adopted_pairs]
    return write_pairs(tmp_path_factory.mktemp("pairs"), asked, bundle=str(POCKET))


@pytest.fixture(scope="module")
def families(family_pairs_of: FamilyPairsOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python's results for a bundle of each family."""
    folder = tmp_path_factory.mktemp("families")
    return write_pairs(folder, [pair for name in FAMILIES for pair in family_pairs_of(name)])


def test_the_same_answers_as_python(folder: Path) -> None:
    asked = len(json.loads((folder / "pairs.json").read_text())["pairs"])
    assert node_tests(SOURCE, TESTS / "pairs.test.mjs", CARVE_PAIRS=str(folder)) > asked


def test_every_family(families: Path) -> None:
    """In Node, pictures read by sharp; and one of each family through the page in Chromium."""
    asked = len(json.loads((families / "pairs.json").read_text())["pairs"])
    assert node_tests(SOURCE, TESTS / "families.test.mjs", CARVE_PAIRS=str(families)) == asked
    page = TESTS / "family_pages.test.mjs"
    assert node_tests(SOURCE, page, CARVE_PAIRS=str(families)) == len(FAMILIES)


def write_attended(folder: Path, attended: list[Attended]) -> Path:
    """Write ``attended.json`` and the arrays that it names."""
    cases = []
    for index, case in enumerate(attended):
        attention = case.attention
        last = attention.layers[-1]
        arrays = {
            "rows": attention.rows,
            "row": attention.row(),
            "map": attention.map(-1, last),
        }
        for name, array in arrays.items():
            (folder / f"{index}.{name}").write_bytes(array.tobytes())
        plain = {name: value for name, value in vars(attention).items() if name not in arrays}
        expected = {name: np.asarray(value).tolist() for name, value in plain.items()}
        figures = {"mass": attention.mass(), "entropy": attention.entropy()}
        cases.append(
            {
                "bundle": str(case.bundle),
                "image": str(case.image),
                "text": case.text,
                "generate": case.generate,
                "fields": {camel(name): value for name, value in expected.items()},
                "figures": {name: value.tolist() for name, value in figures.items()},
                "sinks": attention.sinks(3).tolist(),
                "over_text": attention.over_text(0, last),
                "arrays": {name: f"{index}.{name}" for name in arrays},
            }
        )
    document = {"close": CLOSE, "cases": cases}
    (folder / "attended.json").write_text(json.dumps(document))
    return folder


def test_attention(attended: list[Attended], tmp_path: Path) -> None:
    """Rows, words and where they lie, for pocket and every family's bundle."""
    folder = write_attended(tmp_path, attended)
    tests = TESTS / "attention.test.mjs"
    assert node_tests(SOURCE, tests, CARVE_ATTENDED=str(folder)) > len(attended)


def test_changes(changes: list[Changed], tmp_path: Path) -> None:
    """How much pictures differ, for pocket and every family's bundle."""
    cases = [
        {
            "bundle": str(case.bundle),
            "before": str(case.before),
            "after": str(case.after),
            "scoutPixels": case.scout_pixels,
            "change": case.change if math.isfinite(case.change) else None,
        }
        for case in changes
    ]
    document = tmp_path / "changes.json"
    document.write_text(json.dumps({"close": CLOSE_CHANGE, "cases": cases}))
    tests = TESTS / "change.test.mjs"
    assert node_tests(SOURCE, tests, CARVE_CHANGES=str(document)) > len(changes)


def test_the_page_word_by_word(pocket: Carve, tmp_path: Path) -> None:
    """Where the model looked for each word of an answer, in each layer."""
    folder = write_attended(tmp_path, attended_pocket(pocket)[:1])
    node_tests(SOURCE, TESTS / "words.test.mjs", CARVE_ATTENDED=str(folder))


def test_the_page(folder: Path, pairs: list[Pair]) -> None:
    """The same pairs through the page in headless Chromium, and what else a visitor does there."""
    assert node_tests(SOURCE, TESTS / "page.test.mjs", CARVE_PAIRS=str(folder)) > len(pairs)


@pytest.mark.parametrize("name", ["input", "calls", "workers", "server", "package"])
def test_what_else_a_program_does(name: str) -> None:
    """Bad input, kinds of images and of calls, workers, the page's server, the package."""
    node_tests(SOURCE, TESTS / f"{name}.test.mjs")


def test_the_declarations() -> None:
    node(SOURCE, "npx", "--no", "tsc")
