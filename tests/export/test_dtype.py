"""Bundles that compute in half precision: as near to float32 as PyTorch is, in every family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from carve_export import ExportOptions, export_bundle
from carve_export.check.parity import HALF_MARGIN, compare_outputs
from carve_export.check.reference import Reference, references
from carve_export.checkpoint.load import load_checkpoint
from carve_models import names
from carve_models.errors import SettingsError
from carve_models.manifest import Profile
from carve_runtime import Carve, ProviderError
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.memory import memory_budget
from carve_runtime.prompt.text import Text
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES, PHOTOS

#: Every family once in each profile at least; halves of a decoder and DeepStack among them.
EXPORTS: list[tuple[str, Profile]] = [
    ("llava-clip-gqa", "ort"),
    ("llava-siglip", "portable"),
    ("qwen2_5_vl", "ort"),
    ("qwen3_vl", "portable"),
    ("smolvlm", "ort"),
    ("internvl", "portable"),
]
CASE = "llava-clip-gqa"
Edit = Callable[[Reference], Reference]


@pytest.mark.parametrize(("name", "profile"), EXPORTS)
def test_float16_is_as_near_to_float32_as_pytorch(
    name: str, profile: Profile, half_of: ExportOf
) -> None:
    report = half_of(name, profile)
    for row in report.comparisons:
        print(f"{name} {row.name}: {row.difference:.2e}, PyTorch {row.scale:.2e}")
        assert 0 < row.difference <= HALF_MARGIN * row.scale
    decoder = report.manifest.graphs[names.DECODER]
    types = {tensor.name: tensor.dtype for tensor in (*decoder.inputs, *decoder.outputs)}
    assert types.pop(names.LOGITS) == types.pop(names.LAST_ROW) == "float32"
    assert {types.pop(names.ATTENTION_MASK), types.pop(names.POSITION_IDS)} == {"int64"}
    assert set(types.values()) == {"float16"}
    path = report.folder / names.graph_file(names.DECODER)
    weights = onnx.load(path).graph.initializer
    large = {onnx.TensorProto.DataType.Name(weight.data_type) for weight in weights if weight.dims}
    assert "FLOAT16" in large
    vlm = Carve.load(report.folder)
    result = vlm.ask(PHOTOS / "portrait.jpg", "What is this?", max_new_tokens=3)
    assert np.isfinite(result.question_attention).all()
    assert result.mask.any()


def test_norms_and_rotary_embeddings_are_one_operator_each(
    half_of: ExportOf,
) -> None:
    """Launches cost time on a GPU; those of a layer are counted, the tap apart."""
    report = half_of("qwen2_5_vl", "ort")
    path = report.folder / names.graph_file(names.DECODER)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    layers = report.manifest.decoder.layers
    assert operators["SimplifiedLayerNormalization"] == 2 * layers + 1
    assert operators["RotaryEmbedding"] == 2 * layers
    assert operators["GroupQueryAttention"] == layers
    assert not operators["Pow"] + operators["Sqrt"] + operators["Neg"]


@pytest.fixture(scope="module")
def expected(half_of: ExportOf, checkpoint_of: CheckpointOf) -> list[Reference]:
    bundle = open_bundle(half_of(CASE, "ort").folder)
    checkpoint = load_checkpoint(str(checkpoint_of(CASE)), dtype="float16")
    text = Text(bundle.path(names.TOKENIZER_FILE), bundle.manifest.decoder.control_ids)
    return references(checkpoint, bundle.manifest, text)


def another_layer(reference: Reference) -> Reference:
    """Exchange the rows of the tapped layers."""
    return replace(reference, attention=reference.attention[::-1])


def another_position(reference: Reference) -> Reference:
    """Take each position's results from the one before it."""
    return replace(
        reference,
        logits=np.roll(reference.logits, 1, axis=0),
        attention=np.roll(reference.attention, 1, axis=1),
    )


def another_mask(reference: Reference) -> Reference:
    """Let every position see the first key only."""
    attention = np.zeros_like(reference.attention)
    attention[:, :, 0] = 1
    return replace(reference, attention=attention)


@pytest.mark.parametrize("edit", [another_layer, another_position, another_mask])
def test_a_graph_that_computes_something_else_is_not_within_the_margin(
    edit: Edit, expected: list[Reference], half_of: ExportOf
) -> None:
    bundle = open_bundle(half_of(CASE, "ort").folder)
    assert all(row.passed for row in compare_outputs(bundle, expected, tolerance=0.0))
    edited = [
        replace(edit(reference), rounded=edit(reference.rounded))
        for reference in expected
        if reference.rounded is not None
    ]
    rows = compare_outputs(bundle, edited, tolerance=0.0)
    wrong = [row for row in rows if not row.passed]
    assert {row.name for row in wrong} >= {row.name for row in rows if "attention" in row.name}


def test_caches_take_half_the_memory(half_of: ExportOf, export_of: ExportOf) -> None:
    half, whole = (
        memory_budget(report.manifest) for report in (half_of(CASE, "ort"), export_of(CASE, "ort"))
    )
    (cache,) = (name for name in half if name.startswith("cache"))
    assert half[cache] * 2 == whole[cache]
    assert half["logits"] == whole["logits"]


def test_bfloat16_is_refused_where_it_cannot_run(
    checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    """It can be exported for engines, if nobody asks for the comparison."""
    with pytest.raises(SettingsError, match=r"cannot run bfloat16\. Choose float16"):
        ExportOptions(dtype="bfloat16")
    options = ExportOptions(dtype="bfloat16", layers=CASES[CASE].layers, unchecked=True)
    report = export_bundle(str(checkpoint_of(CASE)), tmp_path / "bundle", options)
    types = {tensor.dtype for tensor in report.manifest.graphs[names.DECODER].inputs}
    assert types == {"bfloat16", "int64"}
    with pytest.raises(ProviderError, match=r"computes in bfloat16, .*--dtype float16"):
        Carve(Bundle(report.folder, report.manifest))


@pytest.mark.parametrize("other", [{"weights": "float16"}, {"precisions": ("int8",)}])
def test_one_way_to_half_precision_at_a_time(other: dict[str, object], tmp_path: Path) -> None:
    calibration = {"calibration": tmp_path} if "precisions" in other else {}
    with pytest.raises(SettingsError, match="the dtype is float16"):
        ExportOptions(dtype="float16", **other, **calibration)  # type: ignore[arg-type]
