"""Engines are really built, without a GPU, for the sizes that they name; nothing here runs one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import onnx
import pytest
import yaml
from click.testing import CliRunner, Result

from carve_export import ExportOptions, export_bundle
from carve_export.cli.main import main
from carve_export.precision.quality import LowerOptions, lower_bundle
from carve_export.tensorrt.build import EngineOptions, build_engines
from carve_export.tensorrt.builder import Builder, BuildOptions
from carve_models import names
from carve_models.engines import EngineManifest, EnginePrecision, read_engines
from carve_models.errors import EngineError, SettingsError
from carve_models.graph_spec import Dtype
from carve_models.interface import expected_graphs
from carve_models.manifest import read_manifest
from carve_runtime.backends.tensorrt.runner import import_tensorrt
from carve_runtime.bundle import sha256
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES, PHOTOS, POCKET, TESTS

CAPABILITIES = ("8.6", "8.9")
GRAPHS = (names.VISION_ENCODER, names.DECODER)
ENGINES = ("--target", "tensorrt_rtx", "--compute-capability", "8.9")
ALLOWED = set(yaml.safe_load((TESTS / "export" / "tensorrt" / "operators.yaml").read_text()))
HALF_CASE = "llava-clip-gqa"
#: The arithmetic around the model: sorts, loops and computed slices that TensorRT refuses.
ON_THE_HOST = {names.PREPROCESS, names.CARVE_REFINE}


@pytest.fixture(scope="module", params=["pocket", "qwen2_5_vl"])
def portable(request: pytest.FixtureRequest, pocket_portable: Path, export_of: ExportOf) -> Path:
    if request.param == "pocket":
        return pocket_portable
    return export_of(request.param, "portable").folder


def build(
    bundle: Path,
    out: Path,
    precision: EnginePrecision | None = "fp32",
    *,
    graphs: tuple[str, ...] = (),
    stripped: bool = False,
) -> EngineManifest:
    build = BuildOptions(compute_capabilities=("8.9",), stripped=stripped)
    options = EngineOptions(target="tensorrt_rtx", build=build, precision=precision, graphs=graphs)
    return build_engines(bundle, out, options)


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
    interfaces = expected_graphs(bundle)
    for name, engine in built.engines.items():
        data = (out / engine.file).read_bytes()
        assert built.files[engine.file].size == len(data)
        # The builder compared the network's names with these; the engine contains them.
        assert (engine.inputs, engine.outputs) == (
            interfaces[name].inputs,
            interfaces[name].outputs,
        )
        for tensor in (*engine.inputs, *engine.outputs):
            assert tensor.name.encode() in data
        sizes = [size for tensor in engine.inputs for size in tensor.shape]
        assert set(engine.ranges) == {size for size in sizes if isinstance(size, str)}
        assert engine.source == bundle.files[bundle.graphs[name].file].sha256
    decoder = built.engines[names.DECODER].ranges
    assert decoder["past_sequence_length"][0] == 0
    assert decoder["sequence_length"][0] == 1
    assert names.LAST_ROW in [tensor.name for tensor in built.engines[names.DECODER].outputs]


@pytest.mark.parametrize(("dtype", "precision"), [("float16", "fp16"), ("bfloat16", "bf16")])
def test_a_bundle_in_half_precision_goes_in_as_it_is(
    dtype: Dtype, precision: EnginePrecision, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    export = ExportOptions(
        profile="portable", dtype=dtype, layers=CASES[HALF_CASE].layers, unchecked=True
    )
    bundle = tmp_path / "bundle"
    export_bundle(str(checkpoint_of(HALF_CASE)), bundle, export)
    built = build(bundle, tmp_path / "engines", None, graphs=GRAPHS)
    assert built.precision == precision
    types = {tensor.name: tensor.dtype for tensor in built.engines[names.DECODER].inputs}
    assert {types.pop(names.ATTENTION_MASK), types.pop(names.POSITION_IDS)} == {"int64"}
    assert set(types.values()) == {dtype}
    with pytest.raises(SettingsError, match=f"computes in {dtype}, .*cannot be fp32"):
        build(bundle, tmp_path / "other", "fp32", graphs=GRAPHS)


def test_halves(pocket_portable: Path, tmp_path: Path) -> None:
    whole = build(pocket_portable, tmp_path / "whole")
    assert set(whole.engines) == {
        names.VISION_ENCODER,
        names.EMBED_TOKENS,
        names.DECODER_LOWER,
        names.DECODER_UPPER,
    }


def test_engines_in_static_int8(pocket_portable: Path, tmp_path: Path) -> None:
    """Scales that a calibration fixed are part of the graph; products without them are fp16."""
    questions = [{"image": str(PHOTOS / "landscape.jpg"), "question": "Is there a red star?"}]
    calibration, bundle = tmp_path / "questions.json", tmp_path / "int8"
    calibration.write_text(json.dumps(questions))
    options = LowerOptions(precisions=("int8-static",), calibration=calibration)
    lower_bundle(pocket_portable, bundle, options)
    graphs = (names.VISION_ENCODER, names.DECODER)
    exact = build(pocket_portable, tmp_path / "exact", graphs=graphs)
    small = build(bundle, tmp_path / "small", "fp16", graphs=graphs)
    for engine in small.engines.values():
        assert small.files[engine.file].size < exact.files[engine.file].size


@pytest.mark.no_gpu
def test_weights_left_out(pocket_portable: Path, tmp_path: Path) -> None:
    """TensorRT-RTX needs a GPU to leave weights out; without one it is an error, not a crash."""
    with pytest.raises(EngineError, match=r"refuses vision_encoder\.onnx: .*CUDA_SUCCESS"):
        build(pocket_portable, tmp_path / "engines", stripped=True)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("case", [*CASES])
def test_no_operator_that_tensorrt_refuses(case: str, export_of: ExportOf) -> None:
    bundle = export_of(case, "portable").folder
    for name, graph in read_manifest(bundle).graphs.items():
        if name in ON_THE_HOST:
            continue
        model = onnx.load(bundle / graph.file, load_external_data=False)
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
    command = ("engine", pocket_portable, out, *ENGINES, "--graph", names.EMBED_TOKENS)
    done = carve_export(*command, "--range", "sequence_length=1:2:5")
    assert done.exit_code == 0, done.output
    assert "sequence_length 1:2:5" in done.stdout
    assert read_engines(out).engines[names.EMBED_TOKENS].ranges["sequence_length"] == (1, 2, 5)
    (out / "mine.txt").write_text("kept")
    again = carve_export(*command)
    assert again.exit_code == 1
    assert "is already there" in again.stderr
    assert carve_export(*command, "--overwrite").exit_code == 0
    assert (out / "mine.txt").is_file()
    file = f"{names.EMBED_TOKENS}.engine"
    assert sha256(out / file) == read_engines(out).files[file].sha256


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "capability": (
        ("--target", "tensorrt_rtx", "--compute-capability", "5.0"),
        r"does not build for compute capability 5\.0\. Choose from .*8\.9",
    ),
    "no capability": (
        ("--target", "tensorrt_rtx"),
        r"capabilities .* are not given\. Give --compute",
    ),
    "range": ((*ENGINES, "--range", "width=1:2:3"), r"no input has a dimension 'width'\. Choose"),
    "range of two": (
        (*ENGINES, "--range", "batch_size=1:2"),
        r"'batch_size=1:2' is not three sizes",
    ),
    "range in disorder": (
        (*ENGINES, "--range", "batch_size=3:2:1"),
        r"'batch_size=3:2:1' is not in order",
    ),
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
