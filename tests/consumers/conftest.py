"""Python's results, which every consumer must reproduce, and libcarve, built once."""

from __future__ import annotations

import ctypes as c
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, get_args

import pytest

from carve_models.manifest import Profile, read_manifest
from carve_runtime import Carve, load_image
from tests.conftest import AdoptedOf, ExportOf, Once
from tests.consumers.attended import (
    Attended,
    attended_cropped,
    attended_family,
    attended_heads,
    attended_pocket,
)
from tests.consumers.building import SOURCE, run
from tests.consumers.c.libcarve import Library
from tests.consumers.cases import (
    CHANGES,
    CROPPED_CHANGES,
    IMAGE,
    QUESTION,
    Changes,
    Pair,
    answered,
    cropping_bundle,
)
from tests.consumers.changes import Changed, altered, compared
from tests.consumers.families import FAMILIES, family_pairs, pictures
from tests.export.adopt.recipes import RECIPES
from tests.support import PHOTOS, POCKET, ROOT, SCENES

PAIRS = 20
FamilyPairsOf: TypeAlias = Callable[[str], list[Pair]]


@pytest.fixture(scope="session")
def pairs(pocket: Carve) -> list[Pair]:
    """Images and questions with pocket's own settings."""
    scenes = json.loads((SCENES / "questions.json").read_text())
    asked = [(SCENES / entry["image"], entry["question"]) for entry in scenes[: PAIRS - 4]]
    for photo in ("landscape.jpg", "portrait.jpg"):
        asked += [(PHOTOS / photo, "What is this?"), (PHOTOS / photo, "Où est le château, 東京 ?")]
    assert len(asked) == PAIRS
    return [answered(pocket, POCKET, image, question) for image, question in asked]


@pytest.fixture(scope="session")
def changed_pairs(pocket: Carve) -> list[Pair]:
    """One question under other settings."""
    return [answered(pocket, POCKET, IMAGE, QUESTION, changes) for changes in CHANGES]


@pytest.fixture(scope="session")
def cropped_pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Photos whose sides the model does not see."""
    bundle = cropping_bundle(tmp_path_factory.mktemp("cropping") / "bundle")
    vlm = Carve.load(str(bundle))
    return [
        answered(vlm, bundle, PHOTOS / photo, "What is this?", changes)
        for changes in CROPPED_CHANGES
        for photo in ("landscape.jpg", "portrait.jpg")
    ]


@pytest.fixture(scope="session")
def half_pairs(half_of: ExportOf) -> list[Pair]:
    """Questions for models in float16, of both profiles."""
    pairs = []
    for profile in get_args(Profile):
        bundle = half_of("llava-clip-gqa", profile).folder
        vlm = Carve.load(bundle)
        for question in ("Is it red?", "Where is the cat?"):
            pairs.append(answered(vlm, bundle, IMAGE, question))
    return pairs


@pytest.fixture(scope="session")
def heads_pairs(pocket_heads: Path) -> list[Pair]:
    """Questions for a bundle with the attention of every head."""
    vlm = Carve.load(pocket_heads)
    changes: list[Changes] = [{}, {"early_exit": True, "variant": "v3"}]
    return [answered(vlm, pocket_heads, IMAGE, QUESTION, each) for each in changes]


@pytest.fixture(scope="session")
def adopted_pairs(adopted_of: AdoptedOf) -> list[Pair]:
    """Questions for bundles of graphs that others exported."""
    asked: list[Changes] = [{}, {"steps": "all", "layers": [0, 1], "final_prompt": "refined"}]
    pairs = []
    for name in RECIPES:
        bundle = adopted_of(name)
        vlm = Carve.load(bundle)
        for changes in asked:
            pairs.append(answered(vlm, bundle, IMAGE, QUESTION, {**changes, "max_new_tokens": 6}))
    return pairs


@pytest.fixture(scope="session")
def family_pairs_of(export_of: ExportOf, once: Once[Any]) -> FamilyPairsOf:
    """Ask a family's bundle, once for C and JavaScript."""

    @cache
    def ask(name: str) -> list[Pair]:
        images = once("family-pictures", pictures)
        bundle = export_of(name, "ort").folder
        pairs: list[Pair] = once(f"family-pairs/{name}", lambda _: family_pairs(bundle, images))
        return pairs

    return ask


@pytest.fixture(scope="session")
def attended(
    pocket: Carve,
    pocket_heads: Path,
    export_of: ExportOf,
    once: Once[Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Attended]:
    """Texts for pocket, for a model that sees a part of the image, and for every family's."""
    images = once("family-pictures", pictures)
    cropping = cropping_bundle(tmp_path_factory.mktemp("attended") / "bundle")
    cases = [*attended_pocket(pocket), *attended_cropped(cropping), *attended_heads(pocket_heads)]
    for name in FAMILIES:
        cases += attended_family(export_of(name, "ort").folder, images)
    return cases


@pytest.fixture(scope="session")
def changes(
    export_of: ExportOf, once: Once[Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Changed]:
    """Pairs of pictures for pocket, for a model that sees a part of them, and for every family."""
    folder = tmp_path_factory.mktemp("changes")
    images = once("family-pictures", pictures)
    pairs = list(altered([images[1], images[4], images[7]], folder))
    cropping = cropping_bundle(folder / "bundle")
    bundles = [POCKET, cropping, *(export_of(name, "ort").folder for name in FAMILIES)]
    cases = [case for bundle in bundles for case in compared(bundle, pairs)]
    for bundle in bundles:
        if least := read_manifest(bundle).image.least_pixels:
            cases += compared(bundle, pairs, 2 * least)
    return cases


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
            "-DCMAKE_C_FLAGS=-Werror",
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
