"""The whole pipeline against an independent PyTorch version of the method (tests/reference.py)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import yaml
from PIL import Image

from carve_models import Settings
from carve_models.families.family import PromptLayout
from carve_models.manifest import Profile
from carve_runtime import Carve, fuse_contrast, refine_image, select_regions
from tests.conftest import CheckpointOf, ExportOf
from tests.reference import GENERAL, Reference, ReferenceResult
from tests.support import CASES, PHOTOS, POCKET, SCENES, TESTS

RUNS = [
    (model, changes)
    for model, runs in yaml.safe_load((TESTS / "runtime" / "pipeline.yaml").read_text()).items()
    for changes in runs
]
BORDERLINE = 1e-6  # relative to the threshold, as for the goldens
ATTENTION = 1e-5
SUFFIX = PromptLayout().suffix
# Sizes beside the photographs': a centre crop that begins inside a pixel, a strip, a tower.
SIZES = [(250, 187), (167, 301), (300, 60), (40, 240)]
QUESTIONS = ["What is this?", "Where is the blue circle?", "Is there a dog?", "How many?", "Why"]


@dataclass(frozen=True)
class Subject:
    """A model in both forms, and what it is asked."""

    vlm: Carve
    reference: Reference
    pairs: list[tuple[Path, str]]


SubjectOf = Callable[[str], Subject]


@pytest.fixture(scope="module")
def subject_of(
    pocket: Carve,
    checkpoint_of: CheckpointOf,
    export_of: ExportOf,
    tmp_path_factory: pytest.TempPathFactory,
) -> SubjectOf:
    photos = sorted(PHOTOS.glob("*.jpg"))
    folder = tmp_path_factory.mktemp("photos")
    for width, height in SIZES:
        photos.append(folder / f"{width}x{height}.png")
        Image.open(photos[0]).resize((width, height)).save(photos[-1])

    @cache
    def reference(name: str) -> Reference:
        return Reference(checkpoint_of(name), SUFFIX, CASES[name].family)

    @cache
    def subject(model: str) -> Subject:
        if model == "pocket":
            scenes = json.loads((SCENES / "questions.json").read_text())
            pairs = [(SCENES / entry["image"], entry["question"]) for entry in scenes]
            return Subject(pocket, Reference(POCKET / "checkpoint", ""), pairs)
        name, profile = model.split()
        vlm = Carve.load(export_of(name, cast(Profile, profile)).folder)
        return Subject(vlm, reference(name), list(itertools.product(photos, QUESTIONS)))

    return subject


@pytest.mark.parametrize(("model", "changes"), RUNS, ids=[f"{m}-{c}" for m, c in RUNS])
def test_pipeline_equals_the_reference(
    model: str, changes: dict[str, Any], subject_of: SubjectOf
) -> None:
    subject = subject_of(model)
    unequal = 0
    assert len(subject.pairs) >= 20
    for path, question in subject.pairs:
        steps = check_pair(subject, path, question, changes)
        unequal += steps[0] != steps[1]
    print(f"{model}: {unequal} of {len(subject.pairs)} pairs with unequal T_Q and T_G")
    assert unequal > 0


def check_pair(
    subject: Subject, path: Path, question: str, changes: dict[str, Any]
) -> tuple[int, int]:
    vlm = subject.vlm
    settings = vlm.manifest.defaults.override(**changes)
    image = Image.open(path).convert("RGB")
    wanted = subject.reference.ask(image, question, settings)
    result = vlm.ask(path, question, **changes)
    assert result.grid == wanted.grid

    limit = settings.max_new_tokens
    assert result.plain_token_ids == tuple(wanted.question.ids)
    general = vlm.plain(path, GENERAL, max_new_tokens=limit)
    assert list(general.token_ids) == wanted.general.ids

    mask, box, refined = refine_reference(wanted, image, settings, subject.reference)
    borderline = np.abs(wanted.saliency - wanted.threshold) <= BORDERLINE * wanted.threshold
    differing = mask != wanted.mask
    assert not (differing & ~borderline).any()
    assert box == wanted.box
    assert refined.shape[1::-1] == wanted.refined.size

    attention = wanted.question.attention[:, list(settings.layers)]
    general_attention = wanted.general.attention[: len(result.general_attention)]
    differences = (
        result.question_attention - attention,
        result.general_attention - general_attention[:, list(settings.layers)],
    )
    difference = np.max([np.abs(each).max() for each in differences])  # NaN stays NaN
    overlap = (result.mask & wanted.mask).sum() / (result.mask | wanted.mask).sum()
    print(
        f"{path.name} {question!r}: attention {difference:.1e}, mask IoU {overlap:.5f}, "
        f"{differing.sum()} pixels at the threshold differ"
    )
    assert overlap >= 0.99
    assert difference <= ATTENTION

    if settings.final_prompt == "pair":
        final = vlm.plain(path, question, refined=wanted.refined, max_new_tokens=limit)
    else:
        final = vlm.plain(wanted.refined, question, max_new_tokens=limit)
    assert list(final.token_ids) == wanted.final.ids
    if list(result.token_ids) != wanted.final.ids:
        print(f"  end to end {result.token_ids}, reference {wanted.final.ids}")
    return len(wanted.question.attention), len(wanted.general.attention)


def refine_reference(
    wanted: ReferenceResult,
    image: Image.Image,
    settings: Settings,
    reference: Reference,
) -> Any:
    """Run the product's steps 3 to 7 on the reference's attention."""
    saliency = fuse_contrast(
        wanted.question.attention,
        wanted.general.attention,
        grid=wanted.grid,
        image_size=image.size,
        layers=settings.layers,
        steps=settings.steps,
        regularizer=settings.regularizer,
        window=reference.views.window(image) if settings.geometry == "input" else None,
    )
    mask = select_regions(
        saliency,
        mask_top_p=settings.mask_top_p,
        max_regions=settings.max_regions,
        strategy=settings.strategy,
        rule=settings.rule,
        outlier_percent=settings.outlier_percent,
    )
    refined, box = refine_image(image, mask)
    return mask, box, refined
