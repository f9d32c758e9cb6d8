"""Folders that no bundle is made of: each is refused by name, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from carve_export.adopt import AdoptOptions, adopt_folder
from carve_models import names
from carve_models.errors import CarveError, ExportError, FamilyError, ParityError, SettingsError
from tests.export.adopt.recipes import FOLDERS
from tests.export.cli.commands import carve_export, failed

Change = Callable[[Path], None]


def graph(name: str, change: Callable[[onnx.ModelProto], None]) -> Change:
    """Return a change of one of a folder's graphs."""

    def apply(folder: Path) -> None:
        path = folder / names.graph_file(name)
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)

    return apply


def config(file: str = "config.json", **changes: Any) -> Change:
    """Return a change of a folder's configuration; of a part of it where a dictionary is given."""

    def apply(folder: Path) -> None:
        document = json.loads((folder / file).read_text())
        for name, value in changes.items():
            document[name] = document[name] | value if isinstance(value, dict) else value
        (folder / file).write_text(json.dumps(document))

    return apply


def rename(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    """Return a change that gives an input or an output another name."""

    def apply(model: onnx.ModelProto) -> None:
        for value in [*model.graph.input, *model.graph.output]:
            value.name = new if value.name == old else value.name
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]

    return apply


def lower(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def leave(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def shift(model: onnx.ModelProto) -> None:
    """Let rows be added to the features of the first view."""
    features = model.graph.output[0]
    last = next(node for node in model.graph.node if features.name in node.output)
    last.output[0] = "before"
    two = onnx.helper.make_node("Concat", ["before", "before"], [features.name], axis=0)
    model.graph.node.append(two)


def holding(file: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / file).write_text("{}")

    return apply


def damaged(folder: Path) -> None:
    (folder / EMBED).write_bytes(b"no model")


def without(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


VISION, EMBED, DECODER = (
    names.graph_file(name) for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER)
)
REFUSED: dict[str, tuple[Change, type[CarveError], str]] = {
    "GenAI's": (holding("genai_config.json"), ExportError, "a model of ONNX Runtime GenAI"),
    "a bundle": (holding("carve.json"), ExportError, "is a bundle already"),
    "no folder": (shutil.rmtree, ExportError, "there is no folder .* --local-dir"),
    "no config": (without("config.json"), ExportError, "has no config.json"),
    "no tokenizer": (without("tokenizer.json"), ExportError, "has no tokenizer.json"),
    "no vision": (without(VISION), ExportError, "there is no .*vision_encoder.onnx"),
    "no decoder": (
        without(DECODER),
        ExportError,
        "no decoder_model_merged in fp32.*fp16, q4, q4f16",
    ),
    "another family": (
        config(architectures=["PaliGemmaForConditionalGeneration"]),
        FamilyError,
        "no family covers",
    ),
    "other heads": (
        config(text_config={"num_key_value_heads": 4}),
        ExportError,
        r"present.0.key of the decoder_model_merged is .*,2,.*say \[.* 4,",
    ),
    "another depth": (
        config(text_config={"num_hidden_layers": 3}),
        ExportError,
        "layers 2 were asked for, and the decoder has 2",
    ),
    "other tiles": (
        config(scale_factor=4),
        ExportError,
        "image_features of the vision_encoder",
    ),
    "more features than views": (
        graph(names.VISION_ENCODER, shift),
        ExportError,
        r"image_features of the vision_encoder is \[4, 4, 32\]",
    ),
    "an unknown input": (
        graph(names.VISION_ENCODER, rename("pixel_attention_mask", "image_grid_thw")),
        ExportError,
        "takes image_grid_thw, and what to give it is not known",
    ),
    "no ids": (
        graph(names.EMBED_TOKENS, rename("input_ids", "ids")),
        ExportError,
        "embed_tokens has no input input_ids",
    ),
    "no features": (
        graph(names.VISION_ENCODER, rename("image_features", "features")),
        ExportError,
        "vision_encoder has no output image_features",
    ),
    "no logits": (
        graph(names.DECODER, rename("logits", "states")),
        ExportError,
        "is no decoder",
    ),
    "an old operator set": (graph(names.EMBED_TOKENS, lower), ExportError, "operator set 12"),
    "weights elsewhere": (graph(names.VISION_ENCODER, leave), ExportError, "outside its folder"),
    "a damaged graph": (
        damaged,
        ExportError,
        "no ONNX model",
    ),
}
#: Changes that need a folder with views and several types. The other is read without rendering
#: a chat template, which takes a second.
OF_VIEWS = {"no decoder", "other tiles", "more features than views", "an unknown input"}


@pytest.mark.parametrize("name", REFUSED)
def test_folders(name: str, tmp_path: Path) -> None:
    change, error, cause = REFUSED[name]
    folder, out = tmp_path / "folder", tmp_path / "made" / "bundle"
    shutil.copytree(FOLDERS / ("smolvlm" if name in OF_VIEWS else "llava"), folder)
    change(folder)
    with pytest.raises(error, match=cause):
        adopt_folder(folder, out, AdoptOptions(layers=(1, 2) if "depth" in name else None))
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_cache_that_takes_one_position_at_a_time(tmp_path: Path) -> None:
    options = AdoptOptions(dtypes=("decoder_model_merged=q4f16",))
    with pytest.raises(ExportError, match="cannot take several positions over a cache"):
        adopt_folder(FOLDERS / "smolvlm", tmp_path / "bundle", options)


def test_a_cache_that_grows_elsewhere(tmp_path: Path) -> None:
    """Standard operators concatenate: the profile that appends in place does not fit them."""
    options = AdoptOptions(profile="ort")
    with pytest.raises((ParityError, ExportError), match="over a cache"):
        adopt_folder(FOLDERS / "llava", tmp_path / "bundle", options)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("text", ["fp8", "decoder=q4", "=q4"])
def test_types(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a type of graphs"):
        adopt_folder(FOLDERS / "smolvlm", tmp_path / "bundle", AdoptOptions(dtypes=(text,)))


def test_a_taken_place(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    command = ["adopt", FOLDERS / "llava", tmp_path]
    failed(carve_export(*command), 1, "is already there")
    assert carve_export(*command, "--overwrite").exit_code == 0
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_folder_itself(tmp_path: Path) -> None:
    """Its graphs would be gone, and with them what other types of it are made of."""
    folder = tmp_path / "folder"
    shutil.copytree(FOLDERS / "llava", folder)
    printed = carve_export("adopt", folder, folder, "--overwrite", "--unchecked")
    failed(printed, 1, "is the folder to adopt. Choose another folder")
    assert (folder / DECODER).read_bytes() == (FOLDERS / "llava" / DECODER).read_bytes()


def test_what_the_command_says(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"prompts": {"suffix": ""}}))
    command = ["adopt", FOLDERS / "smolvlm", tmp_path / "bundle", "--settings", settings]
    printed = carve_export(*command, "--unchecked").stdout
    assert printed.startswith("decoder_model_merged.onnx: 49 nodes added")  # to the bundle's
    assert "pixel_attention_mask: every pixel" in printed
    assert "results" not in printed
    assert "files, 0.6 MB" in printed
