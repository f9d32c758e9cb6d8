"""Bundles in lower precision: real ones, measured against the default bundle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

from carve_export.cli.main import main
from carve_export.precision import parse_precisions
from carve_export.precision.quality import LowerOptions, lower_bundle
from carve_models import names
from carve_models.errors import CarveError, ProviderError
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from carve_runtime.cli.main import main as carve_run
from tests.support import POCKET, SCENES

PARTS = ("vision_encoder", "embed_tokens", "decoder", "lm_head")
#: Precisions, operators that the decoder's file must hold, largest share of the size, least share
#: of equal answers and mean overlap of masks.
CHOICES: dict[str, tuple[tuple[str, ...], set[str], float, float, float]] = {
    "fp16": (("fp16",), {"Cast"}, 0.6, 1.0, 0.99),
    "bf16": (("bf16",), {"Cast"}, 0.6, 0.75, 0.9),
    "int8": (("int8",), {"MatMulInteger"}, 0.5, 0.75, 0.9),
    "int8-static": (("int8-static",), {"QuantizeLinear", "DequantizeLinear"}, 0.5, 0.75, 0.9),
    "int4-only": (("int4-only",), {"MatMulNBits"}, 0.3, 0.75, 0.9),
}


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a few questions, so that a test takes seconds."""
    entries = json.loads((SCENES / "questions.json").read_text())[::3]
    for entry in entries:
        entry["image"] = str(SCENES / entry["image"])
    path = tmp_path_factory.mktemp("calibration") / "questions.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("name", CHOICES)
def test_a_bundle_in_lower_precision(name: str, calibration: Path, tmp_path: Path) -> None:
    precisions, operators, size, answers, overlap = CHOICES[name]
    out = tmp_path / "bundle"
    options = LowerOptions(precisions=precisions, calibration=calibration)
    manifest = lower_bundle(POCKET, out, options)
    assert read_manifest(out) == manifest
    quality = manifest.quality
    assert quality is not None
    assert quality.precision == {
        part: precision
        for part, precision in parse_precisions(precisions).items()
        if precision != "fp32"
    }
    assert quality.questions == 8
    assert quality.size < size
    assert quality.answer_agreement >= answers
    assert quality.mask_overlap >= overlap
    assert quality.least_mask_overlap <= quality.mask_overlap
    model = onnx.load(out / names.graph_file(names.DECODER), load_external_data=False)
    assert operators <= {node.op_type for node in model.graph.node}
    if "bf16" in precisions:
        return  # the CPU has no such products, see below
    entry = json.loads(calibration.read_text())[0]
    early = Carve.load(out).ask(entry["image"], entry["question"], early_exit=True)
    assert early.plain_answer is None  # the halves follow the whole decoder


def test_bfloat16_is_for_gpus(calibration: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = LowerOptions(precisions=("decoder=bf16",), calibration=calibration)
    lower_bundle(POCKET, out, options)
    with pytest.raises(ProviderError, match=r"CPUExecutionProvider cannot compute .*\. Choose an"):
        Carve.load(out)
    entry = json.loads(calibration.read_text())[0]
    result = Carve.load(out, backend="openvino").ask(entry["image"], entry["question"])
    assert result.answer == entry["answer"]


def test_int4_keeps_the_answers(tmp_path: Path) -> None:
    options = LowerOptions(precisions=("int4",), calibration=SCENES / "questions.json")
    quality = lower_bundle(POCKET, tmp_path / "bundle", options).quality
    assert quality is not None
    assert quality.size < 0.36  # less than int8's
    assert quality.answer_agreement >= 0.98
    assert quality.least_mask_overlap >= 0.9
    assert quality.right == quality.usual_right
    assert quality.pointing == quality.usual_pointing == 21 / 24


PARSED: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("fp16",), ("fp16",) * 4),
    (("int4",), ("int4", "fp32", "int4", "fp32")),
    (("int8", "decoder=int4", "lm_head=fp16"), ("int8", "fp32", "int4", "fp16")),
    (("embed_tokens=int8",), ("fp32", "int8", "fp32", "fp32")),
    (("int4-only", "lm_head=int4"), ("int4-only", "fp32", "int4-only", "int4")),
]


@pytest.mark.parametrize(("texts", "expected"), PARSED)
def test_precisions(texts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert tuple(parse_precisions(texts).values()) == expected
    assert tuple(parse_precisions(texts)) == PARTS


def test_the_command_prints_what_it_costs(calibration: Path, tmp_path: Path) -> None:
    entries = json.loads(calibration.read_text())[:1]
    single = tmp_path / "single.json"
    single.write_text(json.dumps(entries))
    arguments: list[Any] = ["precision", POCKET, tmp_path / "out"]
    arguments += ["--precision", "lm_head=fp16", "--calibration", single]
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert "lm_head fp16" in done.stdout
    assert "100.0% (source 100.0%)" in done.stdout  # the file has the answer and its place
    lower = [*map(str, arguments)]
    lower[1:3] = [str(tmp_path / "out"), str(tmp_path / "again")]
    twice = CliRunner().invoke(main, lower)
    same = CliRunner().invoke(main, [lower[0], lower[1], lower[1], *lower[3:], "--overwrite"])
    assert re.search(r"out is the bundle to lower\. Choose another folder", same.stderr)
    shown = CliRunner().invoke(carve_run, ["info", str(tmp_path / "out")]).stdout
    assert "lm_head fp16: 100.0% of 1 answers as in its source" in shown
    assert re.search(r"is in lower precision already\. Start from the bundle it was", twice.stderr)


def arguments(out: Path, *options: object) -> list[str]:
    """Return what makes the default bundle of pocket's checkpoint, and more options."""
    default = ("--layers", "0-3", "--settings", POCKET / "settings.json")
    return [str(word) for word in (POCKET / "checkpoint", out, *default, *options)]


def test_an_export_in_lower_precision(calibration: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    lower = ("--precision", "lm_head=fp16", "--precision", "decoder=int8")
    command = [sys.executable, "-c", "from carve_export.cli.main import main; main()"]
    command += arguments(out, *lower, "--calibration", calibration)
    wide = {**os.environ, "COLUMNS": "200"}  # no path is broken into two lines
    done = subprocess.run(command, env=wide, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert "relative error against PyTorch" in done.stdout  # the bundle in float32
    assert "against its source" in done.stdout
    assert f"{out}: " in done.stdout
    quality = read_manifest(out).quality
    assert quality is not None
    assert quality.precision == {"decoder": "int8", "lm_head": "fp16"}
    entry = json.loads(calibration.read_text())[0]
    assert Carve.load(out).ask(entry["image"], entry["question"]).answer == entry["answer"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_export_fails_before_the_long_part(calibration: Path, tmp_path: Path) -> None:
    given = ("--calibration", calibration)
    refused: list[tuple[tuple[object, ...], str]] = [
        (("--precision", "int8"), r"one of the two is missing\. Give precision and calibration"),
        (given, r"one of the two is missing"),
        (("--precision", "int5", *given), r"'int5' is not a precision"),
        (("--precision", "int4", "--profile", "portable", *given), r"the bundle is portable"),
        (("--precision", "int8", "--weights", "float16", *given), r"are stored as float16"),
    ]
    for options, message in refused:
        result = CliRunner().invoke(main, arguments(tmp_path / "bundle", *options))
        assert result.exit_code == 2
        assert re.search(message, result.stderr)
        assert "load the checkpoint" not in result.output
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("int5",), r"'int5' is not a precision\. Give one of fp32, fp16"),
        (("head=int4",), r"'head=int4' is not a precision"),
        (("embed_tokens=int4",), r"embed_tokens cannot be int4, .*\. Choose one of fp32, fp16"),
        (("fp32",), r"every component would stay fp32"),
    ],
)
def test_wrong_precisions(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(CarveError, match=message):
        parse_precisions(texts)


@pytest.mark.parametrize("word", ["int4", "int4-only"])
def test_int4_is_not_a_standard_operator(
    word: str, pocket_portable: Path, calibration: Path, tmp_path: Path
) -> None:
    options = LowerOptions(precisions=(word,), calibration=calibration)
    with pytest.raises(CarveError, match=r"int4 needs an operator of ONNX Runtime.*\. Choose int8"):
        lower_bundle(pocket_portable, tmp_path / "out", options)
