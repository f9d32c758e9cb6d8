"""Bundles of transformers.js's folders against PyTorch's model with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carve_export.adopt import AdoptOptions, adopt_folder
from carve_models.families.family import PromptLayout
from carve_models.manifest import read_manifest
from carve_models.settings import ALL
from carve_runtime import Carve
from tests.checkpoints import MAKERS
from tests.comparing import assert_close
from tests.conftest import AdoptedOf
from tests.export.adopt.recipes import FOLDERS, RECIPES
from tests.reference import Reference
from tests.support import PHOTOS

QUESTIONS = "What is this?", "Where is the blue circle?"
PICTURES = "landscape.jpg", "portrait.jpg"
STEPS = 4
SUFFIX = PromptLayout().suffix


@pytest.fixture(scope="module", params=RECIPES)
def subject(
    request: pytest.FixtureRequest, adopted_of: AdoptedOf, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Carve, Reference]:
    family, recipe = RECIPES[request.param]
    checkpoint = MAKERS[family](recipe, tmp_path_factory.mktemp(request.param))
    return Carve.load(adopted_of(request.param)), Reference(
        checkpoint, PromptLayout().suffix, family
    )


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_answers(picture: str, question: str, subject: tuple[Carve, Reference]) -> None:
    vlm, reference = subject
    settings = vlm.manifest.defaults.override(max_new_tokens=STEPS, layers=(0, 1))
    expected = reference.ask(Image.open(PHOTOS / picture), question, settings)
    result = vlm.ask(PHOTOS / picture, question, max_new_tokens=STEPS, layers=(0, 1))
    assert result.plain_token_ids == tuple(expected.question.ids)
    assert result.token_ids == tuple(expected.final.ids)
    assert result.bbox == expected.box
    maps = [np.nan_to_num(each) for each in (result.saliency, expected.saliency)]  # NaN: not seen
    assert_close(*maps, rtol=1e-3, atol=1e-3)
    seen = vlm.attend(PHOTOS / picture, question, generate=STEPS)
    rows = seen.rows[..., seen.map_tokens]
    assert_close(rows, expected.question.attention, rtol=0, atol=1e-5)
    assert rows.max() < 0.9  # attention that is all on one token would hide a wrong scale


def test_what_the_manifest_says(adopted_of: AdoptedOf) -> None:
    tiled, fixed = (read_manifest(adopted_of(name)) for name in RECIPES)
    assert (tiled.family, tiled.profile, tiled.decoder.exit_layers) == ("idefics3", "ort", None)
    assert (fixed.family, fixed.profile) == ("llava", "portable")
    assert (fixed.decoder.tapped_layers, fixed.defaults.layers) == ((0, 1), (1,))


@pytest.mark.parametrize("dtype", ["fp16", "q4"])
def test_other_types(dtype: str, adopted_of: AdoptedOf, tmp_path: Path) -> None:
    """The decoder in half precision casts what the other two graphs return."""
    options = AdoptOptions(dtypes=(f"decoder_model_merged={dtype}",), layers=ALL)
    report = adopt_folder(FOLDERS / "smolvlm", tmp_path / "bundle", options)
    manifest = read_manifest(tmp_path / "bundle")
    assert manifest.dtype == {"fp16": "float16", "q4": "float32"}[dtype]
    assert manifest.lowered == {"decoder_model_merged": dtype}
    assert ("image_features: to float16" in report.changes["vision_encoder"]) == (dtype == "fp16")
    attended = [
        Carve.load(bundle).attend(PHOTOS / PICTURES[0], QUESTIONS[0])
        for bundle in (adopted_of("smolvlm"), tmp_path / "bundle")
    ]
    exact, other = (each.rows[0] for each in attended)
    error = np.abs(exact - other).max() / exact.max()
    assert 1e-6 < error < {"fp16": 0.01, "q4": 0.5}[dtype]


def test_both_profiles(adopted_of: AdoptedOf, tmp_path: Path) -> None:
    """A cache in place and one that is concatenated."""
    options = AdoptOptions(profile="portable", layers=ALL)
    adopt_folder(FOLDERS / "smolvlm", tmp_path / "bundle", options)
    asked = [
        Carve.load(bundle).ask(PHOTOS / PICTURES[0], QUESTIONS[0], max_new_tokens=STEPS)
        for bundle in (adopted_of("smolvlm"), tmp_path / "bundle")
    ]
    assert asked[0].token_ids == asked[1].token_ids
    assert_close(asked[0].saliency, asked[1].saliency, rtol=1e-5, atol=1e-5)
    assert asked[0].counts.bytes_copied < asked[1].counts.bytes_copied
