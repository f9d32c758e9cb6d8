"""Bundles in float16 whose weights have 4 or 8 bits: near to what they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from carve_export import ExportOptions, export_bundle
from carve_export.precision import Precision
from carve_export.precision.calibration import read_entries, record, record_prompts
from carve_export.precision.quality import LowerOptions, lower_bundle
from carve_models import names
from carve_models.errors import BundleError, CarveError, SettingsError
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.info import describe
from tests.conftest import CheckpointOf
from tests.support import CASES, PHOTOS, POCKET, SCENES

FAMILIES = ("llava-clip-gqa", "qwen2_5_vl")
#: Largest error of the attention to the image against the bundle in float16, relative, root mean
#: square. Measured: 0.26, 0.29 and 0.03; 0.23, 0.45 and 0.08. The models are tiny and random, and
#: errors of the image's features count too.
LARGEST: dict[Precision, float] = {"int4-only": 0.35, "int4-nearest": 0.5, "int8-nearest": 0.1}


@pytest.fixture(scope="module")
def half_of(
    tmp_path_factory: pytest.TempPathFactory, checkpoint_of: CheckpointOf
) -> Callable[[str], Path]:
    """Export a case in float16, once."""
    made: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp("half") / name
            options = ExportOptions(dtype="float16", layers=CASES[name].layers, unchecked=True)
            made[name] = export_bundle(str(checkpoint_of(name)), out, options).folder
        return made[name]

    return export


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a few questions about one picture."""
    path = tmp_path_factory.mktemp("calibration") / "questions.json"
    picture = str(PHOTOS / "portrait.jpg")
    asked = ("What is this?", "Is there a dog?", "Which colour has the hat?")
    path.write_text(json.dumps([{"image": picture, "question": text} for text in asked]))
    return path


def rows(bundle: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    result = Carve.load(bundle).ask(PHOTOS / "portrait.jpg", "What is this?", max_new_tokens=1)
    assert result.question_attention is not None
    return result.question_attention


@pytest.mark.parametrize("name", FAMILIES)
def test_attention_stays_where_it_was(
    name: str, half_of: Callable[[str], Path], calibration: Path, tmp_path: Path
) -> None:
    """GPTQ comes nearer than the nearest numbers do, and 8 bits nearer than 4."""
    whole, exact, errors = read_manifest(half_of(name)), rows(half_of(name)), {}
    for precision in LARGEST:
        out = tmp_path / precision
        options = LowerOptions(precisions=(precision,), calibration=calibration, unchecked=True)
        manifest = lower_bundle(half_of(name), out, options)
        assert (manifest.graphs, manifest.dtype) == (whole.graphs, "float16")
        assert manifest.quality is None
        assert types_in_blocks(out) == {(TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.UINT8)}
        errors[precision] = np.linalg.norm(rows(out) - exact) / np.linalg.norm(exact)
        print(f"{name} {precision}: {errors[precision]:.4f}")
        assert errors[precision] < LARGEST[precision]
    assert 0 < errors["int8-nearest"] < errors["int4-only"] < errors["int4-nearest"]


def types_in_blocks(bundle: Path) -> set[tuple[int, ...]]:
    """Return the types of codes, scales and zero points in a bundle's decoder."""
    graph = onnx.load(bundle / names.graph_file(names.DECODER)).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {
        tuple(types[name] for name in node.input[1:])
        for node in graph.node
        if node.op_type == "MatMulNBits"
    }


def test_pocket_keeps_its_answers(tmp_path: Path) -> None:
    """Through one command, from the checkpoint: half precision, then 4 bits, then the questions."""
    settings = json.loads((POCKET / "settings.json").read_text())
    options = ExportOptions(
        dtype="float16",
        layers=(0, 1, 2, 3),
        prompts=settings["prompts"],
        defaults=settings["defaults"],
        precisions=("int4",),
        calibration=SCENES / "questions.json",
    )
    report = export_bundle(str(POCKET / "checkpoint"), tmp_path / "out", options)
    assert report.comparisons
    quality = report.manifest.quality
    assert quality is not None
    assert report.manifest.dtype == "float16"
    assert quality.size < 0.6  # of the bundle in float16
    assert quality.answer_agreement >= 23 / 24
    assert quality.right == quality.usual_right == 21 / 24
    assert quality.least_mask_overlap >= 0.9


def test_prompts_are_recorded_without_the_decoder(tmp_path: Path) -> None:
    """They hold what the decoder gets in two runs when it is asked."""
    bundle = open_bundle(POCKET)
    entries = read_entries(SCENES / "questions.json")[:1]
    (prompt,) = record_prompts(bundle, entries, SCENES)[names.DECODER]
    prefix, question = record(bundle, entries, SCENES, max_runs=100)[names.DECODER][:2]
    together = np.concatenate([prefix[names.INPUTS_EMBEDS], question[names.INPUTS_EMBEDS]], axis=1)
    assert (prompt[names.INPUTS_EMBEDS] == together).all()
    positions = [run[names.POSITION_IDS] for run in (prefix, question)]
    assert (prompt[names.POSITION_IDS] == np.concatenate(positions, axis=1)).all()
    assert prompt.keys() == question.keys()
    assert {prompt[name].shape[2] for name in names.past_names([0])} == {0}


@pytest.mark.parametrize("word", ["fp16", "bf16", "int8", "int8-static"])
def test_what_needs_float32_is_refused(
    word: str, half_of: Callable[[str], Path], calibration: Path, tmp_path: Path
) -> None:
    options = LowerOptions(precisions=(word,), calibration=calibration)
    message = rf"in float16, and {word} changes .*\. Choose one of int4, "
    with pytest.raises(SettingsError, match=message):
        lower_bundle(half_of(FAMILIES[0]), tmp_path / "out", options)
    with pytest.raises(SettingsError, match=message):
        ExportOptions(dtype="float16", precisions=(word,), calibration=calibration)


def test_questions_are_needed_to_measure_or_to_calibrate(tmp_path: Path) -> None:
    for precision, unchecked in (("int4-nearest", False), ("int4-only", True)):
        options = LowerOptions(precisions=(precision,), calibration=None, unchecked=unchecked)
        with pytest.raises(CarveError, match=r"one of the two is missing"):
            lower_bundle(POCKET, tmp_path / "out", options)
    options = LowerOptions(precisions=("int4-nearest",), calibration=None, unchecked=True)
    manifest = lower_bundle(POCKET, tmp_path / "out", options)
    assert manifest.quality is None
    assert manifest.lowered == {"vision_encoder": "int4-nearest", "decoder": "int4-nearest"}
    with pytest.raises(BundleError, match=r"is in lower precision already\. Start from the bundle"):
        lower_bundle(tmp_path / "out", tmp_path / "twice", options)
    assert "int4-nearest: not measured" in describe(open_bundle(tmp_path / "out"))
    with pytest.raises(CarveError, match=r"one of the two is missing"):
        replace(ExportOptions(), precisions=("int4-only",), unchecked=True)
