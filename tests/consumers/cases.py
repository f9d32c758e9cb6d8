"""What every consumer is asked, and Python's results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from carve_export.steps.graphs import write_step_graphs
from carve_models.folder import FileEntry
from carve_models.image_rules import FixedImage
from carve_models.manifest import read_manifest, write_manifest
from carve_models.names import PREPROCESS, graph_file
from carve_runtime import Carve, CarveResult
from carve_runtime.bundle import sha256
from tests.support import SCENES, copied_pocket

Changes = Mapping[str, Any]

#: Settings that replace the bundle's; each makes a difference, see ``test_cases.py``.
CHANGES: list[Changes] = [
    {"steps": "all", "strategy": "size", "rule": "released", "mask_top_p": 0.3},
    {"steps": "all", "max_new_tokens": 1},
    {"steps": "last", "strategy": "remove_small", "outlier_percent": 5.0},
    {"final_prompt": "refined", "max_regions": 3, "mask_top_p": 0.3},
    {"layers": [0, 2, 3], "max_refined_pixels": 5000},
    {"contrast": "off"},
    {"method": "question", "layers": [1, 2]},
    {"contrast": "auto"},
    {"contrast": "auto", "layers": [2, 3], "steps": "all"},
    {"regularizer": "auto", "mask_top_p": "auto", "steps": "all", "layers": [0, 1, 2]},
    {"early_exit": True},
    {"early_exit": True, "layers": [1, 0], "final_prompt": "refined"},
    {"adaptive": True, "sure_probability": 0.05},
    {"adaptive": True, "sure_probability": 0.05, "focused_entropy": 1.0},
]

#: Asked of a bundle whose model does not see the whole image.
CROPPED_CHANGES: list[Changes] = [{}, {"geometry": "released"}]

_SCENE = json.loads((SCENES / "questions.json").read_text())[3]
IMAGE, QUESTION = SCENES / _SCENE["image"], _SCENE["question"]


@dataclass(frozen=True)
class Pair:
    """An image, a question, and Python's result under changed settings."""

    bundle: Path
    image: Path
    question: str
    result: CarveResult
    changes: Changes = field(default_factory=dict)


def answered(
    vlm: Carve, bundle: Path, image: Path, question: str, changes: Changes | None = None
) -> Pair:
    """Ask in Python; a result that no consumer could miss is not a case."""
    result = vlm.ask(image, question, **(changes or {}))
    assert result.token_ids
    assert result.mask.any()
    assert result.skipped or np.isfinite(result.saliency).any()
    return Pair(bundle, image, question, result, changes or {})


def cropping_bundle(folder: Path) -> Path:
    """Copy pocket with a rule that crops the centre: the sides of an image are not seen."""
    manifest = read_manifest(copied_pocket(folder))
    rule = manifest.image
    assert isinstance(rule, FixedImage)
    rule = msgspec.structs.replace(
        rule, resize_to=None, resize_shortest_edge=rule.size[0], crop=rule.size
    )
    write_step_graphs(folder, rule, manifest.decoder.positions)
    name = graph_file(PREPROCESS)
    entry = FileEntry(size=(folder / name).stat().st_size, sha256=sha256(folder / name))
    files = {**manifest.files, name: entry}
    write_manifest(folder, replace(manifest, image=rule, files=files))
    return folder
