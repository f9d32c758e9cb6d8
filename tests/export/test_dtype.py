"""Bundles that compute in half precision: as near to float32 as PyTorch is, in every family."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from carve_export import ExportOptions, export_bundle
from carve_export.check import MARGINS
from carve_models import names
from carve_models.errors import SettingsError
from carve_models.manifest import Profile
from carve_runtime import Carve, ProviderError
from carve_runtime.bundle import Bundle
from carve_runtime.memory import memory_budget
from tests.conftest import CheckpointOf, ExportOf
from tests.export.cuda import without_kernel
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


@pytest.mark.parametrize(("name", "profile"), EXPORTS)
def test_float16_is_as_near_to_float32_as_pytorch(
    name: str, profile: Profile, half_of: ExportOf
) -> None:
    report = half_of(name, profile)
    for row in report.comparisons:
        print(f"{name} {row.name}: {row.error:.2e}, PyTorch {row.rounding:.2e}")
        assert 0 < row.error <= MARGINS["float16"] * row.rounding
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


def test_attention_is_kept_from_the_products_before_it(half_of: ExportOf) -> None:
    """On CUDA, ONNX Runtime would merge them and lose the rotated queries that the tap reads."""
    report = half_of("llava-clip-gqa", "ort")
    for part in report.manifest.decoder.parts:
        graph = onnx.load(report.folder / names.graph_file(part.name)).graph
        producers = {name: node for node in graph.node for name in node.output}
        attentions = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
        assert len(attentions) == len(part.layers)
        for node in attentions:
            assert producers[node.input[2]].op_type == "Reshape"


def test_a_norm_comes_with_the_sum_before_it(
    half_of: ExportOf,
) -> None:
    """Only the first norm has no sum before it, and that of the upper half's first layer."""
    report = half_of("qwen2_5_vl", "ort")
    assert report.manifest.decoder.exit_layers is not None
    path = report.folder / names.graph_file(names.DECODER)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    layers = report.manifest.decoder.layers
    assert operators["SkipSimplifiedLayerNormalization"] == 2 * layers - 1
    assert operators["SimplifiedLayerNormalization"] == 2
    assert not operators["Pow"] + operators["Sqrt"] + operators["Neg"] + operators["Sigmoid"]


@pytest.mark.parametrize(("name", "profile"), EXPORTS)
def test_every_node_has_a_kernel(name: str, profile: Profile, half_of: ExportOf) -> None:
    """On CUDA. The convolution of vision encoders has none in bfloat16 before operator set 22."""
    folder = half_of(name, profile).folder
    vision, *others = (
        onnx.load(folder / names.graph_file(graph)).graph
        for graph in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER)
    )
    for graph in (vision, *others):
        assert without_kernel(graph, "float16") == []
    for graph in others:
        assert without_kernel(graph, "bfloat16") == []
    assert {line.split()[0] for line in without_kernel(vision, "bfloat16")} == {"Conv"}


def test_caches_take_half_the_memory(half_of: ExportOf, export_of: ExportOf) -> None:
    half, whole = (
        memory_budget(report.manifest) for report in (half_of(CASE, "ort"), export_of(CASE, "ort"))
    )
    (cache,) = (name for name in half if name.startswith("cache"))
    assert half[cache] * 2 == whole[cache]
    assert half["logits"] == whole["logits"]
    (beside,) = half.keys() - whole.keys()  # on CUDA two passes share buffers of their own
    passes, positions = (int(word) for word in beside.split()[:3:2])
    assert half[beside] * int(cache.split()[2]) == half[cache] * passes * positions


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


def test_one_way_to_half_precision_at_a_time() -> None:
    with pytest.raises(SettingsError, match="the dtype is float16"):
        ExportOptions(dtype="float16", weights="float16")
