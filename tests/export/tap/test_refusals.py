"""What carve-export tap refuses, and that nothing is written then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from carve_export.cli.main import main
from carve_export.tap import TapOptions, tap_decoder
from carve_export.tap.files import write_graph
from carve_models import names
from carve_models.errors import ExportError
from tests.export.tap.decoders import Shapes, save, write_group_query
from tests.export.tap.make_graphs import GRAPHS


def test_weights_behind_a_link(tmp_path: Path) -> None:
    """Without a run, too."""
    path = genai(tmp_path / "in")
    weights = path.with_name("model.onnx.data")
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    for unchecked in (False, True):
        with pytest.raises(ExportError, match=r"behind a link, .* --local-dir"):
            tap_decoder(path, tmp_path / "out" / "model.onnx", TapOptions(unchecked=unchecked))
    assert not (tmp_path / "out").exists()


def test_the_place_of_the_weights(tmp_path: Path) -> None:
    path = genai(tmp_path)
    weights = path.with_name("model.onnx.data")
    before = weights.read_bytes()
    with pytest.raises(ExportError, match=r"is where the weights are\. Choose another name"):
        tap_decoder(path, weights, TapOptions(overwrite=True))
    assert weights.read_bytes() == before


def genai(folder: Path) -> Path:
    shutil.copytree(GRAPHS / "genai-gqa", folder, dirs_exist_ok=True)
    return folder / "model.onnx"


def changed(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Return GenAI's decoder, changed."""
    path = genai(folder)
    model = onnx.load(path, load_external_data=False)
    change(model)
    onnx.save(model, path)
    return path


def rename_logits(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "features"


def rename_attention(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type.startswith("Group")).op_type = "SparseAttention"


def leave(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model.onnx.data"


def lower(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def forget_cache(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type.startswith("Group"))
    node.input[3] = node.input[4] = ""


CHANGES: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "not a decoder": (rename_logits, "no decoder: its outputs are features"),
    "another operator": (rename_attention, "is a SparseAttention"),
    "weights elsewhere": (leave, "has weights in .*, outside its folder"),
    "an old operator set": (lower, "operator set 12"),
    "no cache": (forget_cache, "no cache of keys"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_graphs(name: str, tmp_path: Path) -> None:
    change, cause = CHANGES[name]
    (tmp_path / "model.onnx.data").write_bytes(b"what a graph must not reach")
    refused(changed(tmp_path / "in", change), tmp_path / "out", cause)


OPTIONS: dict[str, dict[str, Any]] = {
    "smooth_softmax": {"smooth_softmax": 1},
    "sliding_window_cache": {"sliding_window_cache": 1, "local_window_size": 4},
    "causal": {"causal": 0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str, tmp_path: Path) -> None:
    write_group_query(tmp_path / "model.onnx", **OPTIONS[name])
    refused(tmp_path / "model.onnx", tmp_path / "out", name)


def test_no_attention(tmp_path: Path) -> None:
    cache: list[str | int] = ["B", 2, "P", 16]
    nodes = [
        helper.make_node("Identity", [name], [other])
        for name, other in (
            ("inputs_embeds", "logits"),
            ("past_key_values.0.key", "present.0.key"),
        )
    ]
    inputs: Shapes = {"inputs_embeds": ["B", "S", 8], "past_key_values.0.key": cache}
    outputs: Shapes = {"logits": ["B", "S", 8], "present.0.key": cache}
    save(tmp_path / "model.onnx", nodes, inputs, outputs)
    refused(tmp_path / "model.onnx", tmp_path / "out", "attention of 0 layers was found")


def test_missing_weights(tmp_path: Path) -> None:
    path = genai(tmp_path / "in")
    path.with_name("model.onnx.data").unlink()
    refused(path, tmp_path / "out", "weights of model.onnx are missing")


def test_truncated_weights(tmp_path: Path) -> None:
    path = genai(tmp_path / "in")
    path.with_name("model.onnx.data").write_bytes(b"too short")
    refused(path, tmp_path / "out", "cannot run the graph")


@pytest.mark.parametrize("damage", [b"", b"no model", None], ids=["empty", "text", "cut"])
def test_damaged(damage: bytes | None, tmp_path: Path) -> None:
    path = genai(tmp_path / "in")
    path.write_bytes(path.read_bytes()[:3000] if damage is None else damage)
    refused(path, tmp_path / "out", "ONNX model")


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.onnx", tmp_path / "out", "there is no file")


def test_layers(tmp_path: Path) -> None:
    options = TapOptions(layers=(1, 2))
    refused(genai(tmp_path / "in"), tmp_path / "out", "the decoder has 2", options)


def test_tapped_already(tmp_path: Path) -> None:
    tap_decoder(genai(tmp_path / "in"), tmp_path / "model.onnx", TapOptions(unchecked=True))
    refused(tmp_path / "model.onnx", tmp_path / "out", f"has {names.LAST_ROW} already")


def refused(path: Path, out: Path, cause: str, options: TapOptions = TapOptions()) -> None:  # noqa: B008
    with pytest.raises(ExportError, match=cause):
        tap_decoder(path, out / "model.onnx", options)
    assert not out.exists()


def test_a_taken_place(tmp_path: Path) -> None:
    path, out = genai(tmp_path / "in"), tmp_path / "out.onnx"
    out.write_text("mine")
    command = ["tap", str(path), str(out)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "already there" in result.output
    assert out.read_text() == "mine"
    result = CliRunner().invoke(main, [*command, "--overwrite"])
    assert result.exit_code == 0, result.output
    assert "equal to the bit" in result.output
    assert onnx.load(out).graph.output[-1].name == names.LAST_ROW


def test_other_weights_stay(tmp_path: Path) -> None:
    path, out = genai(tmp_path / "in"), tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    beside = out.with_name("model.onnx.data")
    beside.write_bytes(b"of another graph")
    with pytest.raises(ExportError, match="holds other weights"):
        tap_decoder(path, out, TapOptions(overwrite=True))
    assert beside.read_bytes() == b"of another graph"


def test_the_same_folder(tmp_path: Path) -> None:
    path = genai(tmp_path)
    before = set(tmp_path.iterdir())
    tap_decoder(path, tmp_path / "tapped.onnx", TapOptions())
    assert set(tmp_path.iterdir()) - before == {tmp_path / "tapped.onnx"}


def test_nothing_is_left_of_a_copy_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = genai(tmp_path / "in"), tmp_path / "out" / "model.onnx"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OSError, match="No space left"):
        write_graph(onnx.load(path, load_external_data=False), ["model.onnx.data"], path, out)
    assert not list(out.parent.iterdir())
