"""Matrices stored in half precision: the graphs compute what PyTorch does with the same weights."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest

from carve_export import ExportOptions, export_bundle
from carve_export.check.verify import VerifyOptions, verify_bundle
from carve_models import names
from carve_models.manifest import Weights
from carve_runtime import Carve
from tests.conftest import CheckpointOf
from tests.support import CASES, PHOTOS

SMALL = 8192  # numbers; the exporter widens smaller matrices for good


@pytest.mark.parametrize(
    ("case", "weights"), [("llava-siglip", "float16"), ("qwen2_5_vl", "bfloat16")]
)
def test_half_precision(
    case: str, weights: Weights, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    checkpoint = str(checkpoint_of(case))
    options = ExportOptions(weights=weights, layers=CASES[case].layers)
    report = export_bundle(checkpoint, tmp_path / "bundle", options)
    assert all(row.passed for row in report.comparisons)
    assert report.manifest.weights == weights
    kind = onnx.TensorProto.FLOAT16 if weights == "float16" else onnx.TensorProto.BFLOAT16
    for name in (names.EMBED_TOKENS, names.DECODER):
        graph = onnx.load(report.folder / names.graph_file(name)).graph
        stored = {
            tensor.data_type for tensor in graph.initializer if math.prod(tensor.dims) > SMALL
        }
        assert stored == {kind}
    compared = VerifyOptions(image=PHOTOS / "landscape.jpg")
    rows = verify_bundle(report.folder, checkpoint, compared)
    assert all(row.passed for row in rows)
    vlm = Carve.load(report.folder)
    assert vlm.ask(PHOTOS / "portrait.jpg", "What is this?", max_new_tokens=2).mask.any()


def test_weights_are_widened_right_before_their_use(
    checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    """ONNX Runtime follows the order of nodes: in another, all weights would be widened at once."""
    options = ExportOptions(weights="float16", layers=CASES["qwen2_5_vl"].layers, unchecked=True)
    folder = export_bundle(str(checkpoint_of("qwen2_5_vl")), tmp_path / "bundle", options).folder
    graph = onnx.load(folder / names.graph_file(names.DECODER)).graph
    known = {tensor.name for tensor in graph.initializer}
    alone = []
    for node in graph.node:
        alone.append(bool(node.input) and known.issuperset(node.input))
        known.update(node.output if alone[-1] else ())
    assert any(alone)
    assert alone == sorted(alone, reverse=True)
