"""The whole pipeline against an independent PyTorch version of the method (tests/reference.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from carve_models import Settings
from carve_runtime import Carve, fuse_contrast, refine_image, select_regions
from tests.conftest import CheckpointOf, ExportOf
from tests.reference import GENERAL, Reference
from tests.support import PHOTOS, POCKET, PROFILES, SCENES, TESTS

RUNS = [
    (model, changes)
    for model, runs in yaml.safe_load((TESTS / "runtime" / "pipeline.yaml").read_text()).items()
    for changes in runs
]
BORDERLINE = 1e-6  # relative to the threshold, as for the goldens
ATTENTION = 1e-5
QUESTIONS = ["What is this?", "Where is the blue circle?", "Is there a dog?", "How many?", "Why"]


@dataclass(frozen=True)
class Subject:
    """A model in both forms, and what it is asked."""

    vlm: Carve
    reference: Reference
    pairs: list[tuple[Path, str]]


@pytest.fixture(scope="module")
def subjects(
    pocket: Carve,
    checkpoint_of: CheckpointOf,
    export_of: ExportOf,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Subject]:
    scenes = json.loads((SCENES / "questions.json").read_text())
    photos = sorted(PHOTOS.glob("*.jpg"))
    for width, height in ((250, 187), (167, 301)):  # the centre crop begins inside a pixel
        path = tmp_path_factory.mktemp("photos") / f"{width}x{height}.png"
        Image.open(photos[0]).resize((width, height)).save(path)
        photos.append(path)
    name = "llava-clip-gqa"
    pairs = [(photo, question) for photo in photos for question in QUESTIONS]
    random_weights = {profile: Carve.load(export_of(name, profile).folder) for profile in PROFILES}
    suffix = random_weights["ort"].manifest.prompts.suffix
    reference = Reference(checkpoint_of(name), suffix)
    return {
        "pocket": Subject(
            pocket,
            Reference(POCKET / "checkpoint", ""),
            [(SCENES / entry["image"], entry["question"]) for entry in scenes],
        ),
        f"{name} ort": Subject(random_weights["ort"], reference, pairs),
        f"{name} portable": Subject(random_weights["portable"], reference, pairs),
    }


@pytest.mark.parametrize(("model", "changes"), RUNS, ids=[f"{m}-{c}" for m, c in RUNS])
def test_pipeline_equals_the_reference(
    model: str, changes: dict[str, Any], subjects: dict[str, Subject]
) -> None:
    subject = subjects[model]
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
    grid = vlm.manifest.image.grid
    image = Image.open(path).convert("RGB")
    wanted = subject.reference.ask(image, question, grid, settings)
    result = vlm.ask(path, question, **changes)

    limit = settings.max_new_tokens
    assert result.plain_token_ids == tuple(wanted.question.ids)
    general = vlm.plain(path, GENERAL, max_new_tokens=limit)
    assert list(general.token_ids) == wanted.general.ids

    mask, box, refined = refine_reference(wanted, grid, image, settings, vlm, subject.reference)
    borderline = np.abs(wanted.saliency - wanted.threshold) <= BORDERLINE * wanted.threshold
    differing = mask != wanted.mask
    assert not (differing & ~borderline).any()
    assert box == wanted.box
    assert refined.shape[1::-1] == wanted.refined.size

    attention = wanted.question.attention[:, list(settings.layers)]
    general_attention = wanted.general.attention[: len(result.general_attention)]
    difference = max(
        np.abs(result.question_attention - attention).max(),
        np.abs(result.general_attention - general_attention[:, list(settings.layers)]).max(),
    )
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
    wanted: Any,
    grid: tuple[int, int],
    image: Image.Image,
    settings: Settings,
    vlm: Carve,
    reference: Reference,
) -> Any:
    """Run the product's steps 3 to 7 on the reference's attention."""
    saliency = fuse_contrast(
        wanted.question.attention,
        wanted.general.attention,
        grid=grid,
        image_size=image.size,
        layers=settings.layers,
        steps=settings.steps,
        regularizer=settings.regularizer,
        window=reference.window(image) if settings.geometry == "input" else None,
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
