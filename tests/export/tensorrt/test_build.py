"""Engines are really built, without a GPU, for the sizes that they name; nothing here runs one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from click.testing import CliRunner, Result

from carve_export.cli.main import main
from carve_export.precision.quality import lower_bundle
from carve_export.tensorrt.build import EngineOptions, build_engines
from carve_export.tensorrt.builder import Builder, BuildOptions
from carve_export.tensorrt.contrast import CONTRAST, contrast_interface, write_contrast
from carve_models import names
from carve_models.engines import EngineManifest, EnginePrecision, read_engines
from carve_models.errors import EngineError
from carve_models.interface import expected_graphs
from carve_models.manifest import read_manifest
from carve_runtime.backends.tensorrt.runner import import_tensorrt
from carve_runtime.bundle import sha256
from tests.conftest import ExportOf
from tests.support import CASES, PHOTOS, POCKET, TESTS

CAPABILITIES = ("8.6", "8.9")
GRAPHS = (names.VISION_ENCODER, names.DECODER, CONTRAST)
ENGINES = ("--target", "tensorrt_rtx", "--compute-capability", "8.9")
ALLOWED = set(yaml.safe_load((TESTS / "export" / "tensorrt" / "operators.yaml").read_text()))
#: The arithmetic around the model: sorts, loops and computed slices that TensorRT refuses.
ON_THE_HOST = {names.PREPROCESS, names.CARVE_REFINE}


@pytest.fixture(scope="module", params=["pocket", "qwen2_5_vl"])
def portable(request: pytest.FixtureRequest, pocket_portable: Path, export_of: ExportOf) -> Path:
    if request.param == "pocket":
        return pocket_portable
    return export_of(request.param, "portable").folder


def build(
    bundle: Path, out: Path, precision: EnginePrecision = "fp32", **options: Any
) -> EngineManifest:
    capabilities = options.pop("capabilities", CAPABILITIES)
    build = BuildOptions(compute_capabilities=capabilities, stripped=options.pop("stripped", False))
    return build_engines(
        bundle,
        out,
        EngineOptions(target="tensorrt_rtx", build=build, precision=precision, **options),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_engines_of_every_graph(portable: Path, tmp_path: Path, precision: EnginePrecision) -> None:
    out, phases = tmp_path / "engines", set()
    options = EngineOptions(
        target="tensorrt_rtx",
        build=BuildOptions(compute_capabilities=CAPABILITIES),
        precision=precision,
        graphs=GRAPHS,
    )
    built = build_engines(
        portable, out, options, on_progress=lambda phase, done, steps: phases.add(phase)
    )
    assert built == read_engines(out)
    assert built.compute_capabilities == CAPABILITIES
    assert "Building engine" in phases
    bundle = read_manifest(portable)
    interfaces = {**expected_graphs(bundle), CONTRAST: contrast_interface()}
    for name, engine in built.engines.items():
        data = (out / engine.file).read_bytes()
        assert built.files[engine.file].size == len(data)
        # The builder compared the network's names with these; the engine carries them.
        assert (engine.inputs, engine.outputs) == (
            interfaces[name].inputs,
            interfaces[name].outputs,
        )
        for tensor in (*engine.inputs, *engine.outputs):
            assert tensor.name.encode() in data
        named = {size for one in engine.inputs for size in one.shape if isinstance(size, str)}
        assert set(engine.ranges) == named
        if name != CONTRAST:
            assert engine.source == bundle.files[bundle.graphs[name].file].sha256
    decoder = built.engines[names.DECODER].ranges
    assert decoder["past_sequence_length"][0] == 0
    assert decoder["sequence_length"][0] == 1
    assert names.LAST_ROW in [tensor.name for tensor in built.engines[names.DECODER].outputs]


def test_halves(pocket_portable: Path, tmp_path: Path) -> None:
    whole = build(pocket_portable, tmp_path / "whole", capabilities=("8.9",))
    assert set(whole.engines) == {
        names.VISION_ENCODER,
        names.EMBED_TOKENS,
        names.DECODER_LOWER,
        names.DECODER_UPPER,
        CONTRAST,
    }


def test_engines_in_static_int8(pocket_portable: Path, tmp_path: Path) -> None:
    """Scales that a calibration fixed are part of the graph; products without them are fp16."""
    one = [{"image": str(PHOTOS / "landscape.jpg"), "question": "Is there a red star?"}]
    calibration, bundle = tmp_path / "questions.json", tmp_path / "int8"
    calibration.write_text(json.dumps(one))
    lower_bundle(pocket_portable, bundle, ("int8-static",), calibration)
    graphs = (names.VISION_ENCODER, names.DECODER)
    usual = build(pocket_portable, tmp_path / "usual", capabilities=("8.9",), graphs=graphs)
    small = build(bundle, tmp_path / "small", "fp16", capabilities=("8.9",), graphs=graphs)
    for engine in small.engines.values():
        assert small.files[engine.file].size < usual.files[engine.file].size


@pytest.mark.no_gpu
def test_weights_left_out(pocket_portable: Path, tmp_path: Path) -> None:
    """TensorRT-RTX takes weights out only where a GPU is; without one it is an error, no crash."""
    with pytest.raises(EngineError, match=r"refuses vision_encoder\.onnx: .*CUDA_SUCCESS"):
        build(pocket_portable, tmp_path / "engines", capabilities=("8.9",), stripped=True)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("case", [*CASES])
def test_no_operator_that_tensorrt_refuses(case: str, export_of: ExportOf, tmp_path: Path) -> None:
    bundle = export_of(case, "portable").folder
    files = [
        bundle / graph.file
        for name, graph in read_manifest(bundle).graphs.items()
        if name not in ON_THE_HOST
    ]
    for file in [*files, write_contrast(tmp_path)]:
        model = onnx.load(file, load_external_data=False)
        assert {node.domain for node in model.graph.node} <= {""}
        assert {node.op_type for node in model.graph.node} <= ALLOWED


def test_the_list_is_what_the_parser_knows() -> None:
    trt = import_tensorrt("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network()
    parser = trt.OnnxParser(network, logger)
    assert [name for name in sorted(ALLOWED) if not parser.supports_operator(name)] == []


def carve_export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command(pocket_portable: Path, tmp_path: Path) -> None:
    out = tmp_path / "engines"
    command = ("engine", pocket_portable, out, *ENGINES, "--graph", CONTRAST)
    done = carve_export(*command, "--range", "steps=1:2:5")
    assert done.exit_code == 0, done.output
    assert "steps 1:2:5" in done.stdout
    assert read_engines(out).engines[CONTRAST].ranges["steps"] == (1, 2, 5)
    (out / "mine.txt").write_text("kept")
    again = carve_export(*command)
    assert again.exit_code == 1
    assert "is already there" in again.stderr
    assert carve_export(*command, "--overwrite").exit_code == 0
    assert (out / "mine.txt").is_file()
    assert (
        sha256(out / f"{CONTRAST}.engine") == read_engines(out).files[f"{CONTRAST}.engine"].sha256
    )


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "capability": (
        ("--target", "tensorrt_rtx", "--compute-capability", "5.0"),
        r"does not build for compute capability 5\.0\. Choose from .*8\.9",
    ),
    "no capability": (("--target", "tensorrt_rtx"), r"capabilities .* are none\. Give --compute"),
    "range": ((*ENGINES, "--range", "width=1:2:3"), r"no input has a dimension 'width'\. Choose"),
    "range of two": ((*ENGINES, "--range", "steps=1:2"), r"'steps=1:2' is not three sizes"),
    "range in disorder": ((*ENGINES, "--range", "steps=3:2:1"), r"'steps=3:2:1' is not in order"),
    "graph": ((*ENGINES, "--graph", "preprocess"), r"no graph 'preprocess' to build\. Choose"),
    "cache": ((*ENGINES, "--timing-cache", "x"), r"tensorrt_rtx has no timing cache"),
    "not installed": (
        ("--target", "tensorrt"),
        r"tensorrt cannot be imported .*\. Install TensorRT as JetPack",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built(name: str, pocket_portable: Path, tmp_path: Path) -> None:
    options, message = REFUSED[name]
    result = carve_export("engine", pocket_portable, tmp_path / "engines", *options)
    assert isinstance(result.exception, SystemExit), result.output
    assert re.search(message, result.stderr), result.stderr
    assert not [*tmp_path.iterdir()]


def test_fused_attention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"of the profile ort, .*\. Export .* --profile portable"):
        build(POCKET, tmp_path / "engines")


def test_a_refused_operator_is_named(pocket_portable: Path, tmp_path: Path) -> None:
    """TensorRT's own words: which operator, where, and why."""
    file = shutil.copy(pocket_portable / "onnx" / "carve_refine.onnx", tmp_path)
    builder = Builder("tensorrt_rtx", BuildOptions(compute_capabilities=("8.9",)))
    with pytest.raises(EngineError, match=r"refuses carve_refine\.onnx: \w+ \(\S+\): .*"):
        builder.build(Path(file), (), {})
