"""Everything about running engines that needs no GPU, with real engines and their own list."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.tensorrt.build import EngineOptions, build_engines
from carve_export.tensorrt.builder import BuildOptions
from carve_models import names
from carve_models.engines import (
    ENGINES_FILE,
    EngineManifest,
    TensorRtEngine,
    read_engines,
    write_engines,
)
from carve_runtime import Carve, EngineError, ProviderError, RunError, SettingsError
from carve_runtime.backends import tensorrt
from carve_runtime.backends.tensorrt.plan import (
    check_engine,
    open_engines,
    output_buffers,
    require_dtypes,
    require_gpu,
    require_inputs,
)
from carve_runtime.bundle import open_bundle
from tests.support import POCKET

Shapes = dict[str, tuple[int, ...]]
FILE = f"{names.DECODER_LOWER}.engine"


@pytest.fixture(scope="module")
def built(pocket_portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("engines") / "engines"
    options = EngineOptions(
        target="tensorrt_rtx",
        build=BuildOptions(compute_capabilities=("8.6",)),
        ranges=("sequence_length=1:60:100", "past_sequence_length=0:60:200"),
    )
    build_engines(pocket_portable, out, options)
    return out


@pytest.fixture
def engines(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "engines"))


@pytest.fixture(scope="module")
def decoder(built: Path) -> TensorRtEngine:
    return read_engines(built).engines[names.DECODER_LOWER]


def shapes(engine: TensorRtEngine, new: int, past: int) -> Shapes:
    sizes = {
        "batch_size": 1,
        "sequence_length": new,
        "past_sequence_length": past,
        "total_sequence_length": past + new,
    }
    return {
        tensor.name: tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
        for tensor in engine.inputs
    }


@pytest.mark.parametrize(("new", "past"), [(60, 0), (1, 0), (1, 200), (100, 200)])
def test_what_fits(decoder: TensorRtEngine, new: int, past: int) -> None:
    require_inputs(decoder, shapes(decoder, new, past))


TOO_LARGE = [
    (101, 0, r"inputs_embeds has the shape \(1, 101, 128\), and sequence_length is 101, outside"),
    (1, 201, r"past_sequence_length is 201, outside the engine's 0 to 200\. Give a smaller image"),
    (0, 5, r"sequence_length is 0, outside the engine's 1 to 100"),
]


@pytest.mark.parametrize(("new", "past", "message"), TOO_LARGE)
def test_beyond_the_ranges(decoder: TensorRtEngine, new: int, past: int, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        require_inputs(decoder, shapes(decoder, new, past))


def test_inputs_that_do_not_fit(decoder: TensorRtEngine) -> None:
    good = shapes(decoder, 10, 5)
    wrong: list[tuple[Shapes, type[Exception], str]] = [
        ({**good, names.INPUTS_EMBEDS: (1, 10, 64)}, EngineError, r"a fixed dimension is 64"),
        ({**good, names.INPUTS_EMBEDS: (1, 10)}, EngineError, r"takes 3 dimensions"),
        ({**good, names.POSITION_IDS: (1, 9)}, RunError, r"sequence_length is 9, another .* 10"),
        ({**good, "more": (1,)}, RunError, r"it was given .*more"),
        ({names.POSITION_IDS: (1, 9)}, RunError, r"takes inputs_embeds, .* was given position_ids"),
    ]
    for given, kind, message in wrong:
        with pytest.raises(kind, match=message):
            require_inputs(decoder, given)


def test_dtypes(decoder: TensorRtEngine) -> None:
    require_dtypes(decoder, {names.POSITION_IDS: np.zeros((1, 1), np.int64)})
    with pytest.raises(RunError, match=r"position_ids is float32, decoder_lower\.engine takes int"):
        require_dtypes(decoder, {names.POSITION_IDS: np.zeros((1, 1), np.float32)})


def test_buffers(decoder: TensorRtEngine) -> None:
    inferred = {
        tensor.name: [
            {"total_sequence_length": 15, "sequence_length": 10}.get(str(size), 1)
            if isinstance(size, str)
            else size
            for size in tensor.shape
        ]
        for tensor in decoder.outputs
    }
    buffers = {each.name: each for each in output_buffers(decoder, inferred.__getitem__)}
    assert list(buffers) == [tensor.name for tensor in decoder.outputs]
    assert buffers["present.0.key"].shape == (1, 4, 15, 32)
    assert buffers["present.0.key"].nbytes == 4 * 15 * 32 * 4
    empty = {**inferred, "present.0.key": [1, 4, 0, 32]}
    assert output_buffers(decoder, empty.__getitem__)[2].nbytes == 4  # nothing is no address
    for shape in ([1, 4, -1, 32], [1, 4, 15], [1, 5, 15, 32], []):
        with pytest.raises(RunError, match=r"TensorRT says that present\.0\.key has the shape"):
            output_buffers(decoder, {**inferred, "present.0.key": shape}.__getitem__)


def truncate(folder: Path) -> None:
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-1])


def flip(folder: Path) -> None:
    data = bytearray((folder / FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / FILE).write_bytes(data)


def relist(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_engines(folder, replace(read_engines(folder), **changes))


def drop(folder: Path) -> None:
    listed = read_engines(folder)
    kept = {names.EMBED_TOKENS: listed.engines[names.EMBED_TOKENS]}
    write_engines(folder, replace(listed, engines=kept))


def other_source(folder: Path) -> None:
    listed = read_engines(folder)
    swapped = {name: replace(engine, source="0" * 64) for name, engine in listed.engines.items()}
    write_engines(folder, replace(listed, engines=swapped))


def list_outside(folder: Path) -> None:
    listed = read_engines(folder)
    write_engines(folder, replace(listed, files={**listed.files, "../x": listed.files[FILE]}))


def link(folder: Path) -> None:
    outside = (folder / FILE).rename(folder.parent / FILE)
    (folder / FILE).symlink_to(outside)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, r"decoder_lower\.engine has \d+ bytes, the manifest says \d+\. Copy"),
    "missing": (lambda folder: (folder / FILE).unlink(), r"decoder_lower\.engine is missing"),
    "changed": (flip, r"\(its SHA-256 differs\)\. Copy the folder of engines"),
    "no list": (
        lambda folder: (folder / ENGINES_FILE).unlink(),
        r"is not a folder of engines: .*\. Give",
    ),
    "malformed": (lambda folder: (folder / ENGINES_FILE).write_text("{"), r"is malformed"),
    "newer schema": (
        lambda folder: (folder / ENGINES_FILE).write_text('{"schema_version": 9}'),
        r"schema version 9; .* reads 1\. Upgrade",
    ),
    "older schema": (relist(schema_version=0), r"schema version 0; .* reads 1\. Build"),
    "path": (list_outside, r"names '\.\./x', outside the folder of engines\. Do not use this"),
    "link": (link, r"decoder_lower\.engine is a link that leaves the folder of engines\. Copy"),
    "version": (relist(version="1.0"), r"built by tensorrt_rtx 1\.0, here is 1\.\d+.*\. Build"),
    "stripped": (relist(stripped=True), r"have no weights\. Build them without --strip-weights"),
    "other bundle": (other_source, r"was built from another bundle"),
    "not built": (drop, r"has no engine of decoder_lower \(it has embed_tokens\)"),
}


def load(engines: Path, bundle: Path) -> EngineManifest:
    manifest = open_engines(engines)
    version = tensorrt.import_tensorrt(manifest.target).__version__
    check_engine(engines, manifest, open_bundle(bundle), names.DECODER_LOWER, version)
    return manifest


def test_engines_that_fit(engines: Path, pocket_portable: Path) -> None:
    assert load(engines, pocket_portable).compute_capabilities == ("8.6",)
    with pytest.raises(EngineError, match=r"was built from another bundle than .*pocket\. Build"):
        load(engines, POCKET)
    # Before any GPU is looked for, though graphs that no profile changes are alike.
    with pytest.raises(EngineError, match=r"was built from another bundle"):
        Carve.load(POCKET, backend="tensorrt", engines=engines)


@pytest.mark.parametrize("damage", DAMAGES)
def test_engines_that_do_not_fit(damage: str, engines: Path, pocket_portable: Path) -> None:
    change, message = DAMAGES[damage]
    change(engines)
    with pytest.raises(EngineError, match=message):
        load(engines, pocket_portable)


@pytest.mark.parametrize("capability", ["8.9", "12.0"])
def test_engines_for_another_gpu(built: Path, capability: str) -> None:
    manifest = read_engines(built)
    require_gpu(manifest, "8.6", 0)
    message = rf"are for compute capability 8\.6, device 1 has {capability}\. Build them for this"
    with pytest.raises(EngineError, match=message):
        require_gpu(manifest, capability, 1)


@pytest.mark.no_gpu
def test_no_gpu_is_a_clear_error(engines: Path, pocket_portable: Path) -> None:
    """Everything fits but the machine: the answer is an error before TensorRT is asked."""
    with pytest.raises(ProviderError, match=r"no CUDA device here .*\. Run on a machine with"):
        Carve.load(pocket_portable, backend="tensorrt", engines=engines)
    assert "no GPU to run on" in tensorrt.describe()


def test_engines_go_with_tensorrt(engines: Path) -> None:
    options: dict[str, Any]
    for options in ({"backend": "tensorrt"}, {"engines": engines}):
        with pytest.raises(SettingsError, match=r"engines is .*, and backend is .*\. Give both or"):
            Carve.load(POCKET, **options)
