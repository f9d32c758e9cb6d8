"""Matrices stored in half precision: the graphs compute what PyTorch does with the same weights."""

from __future__ import annotations

import math

import onnx
import pytest

from carve_export import ExportOptions, ExportReport, export_bundle
from carve_export.check.verify import VerifyOptions, verify_bundle
from carve_models import names
from carve_models.manifest import Weights
from carve_runtime import Carve
from tests.conftest import CheckpointOf
from tests.support import CASES, PHOTOS

SMALL = 8192  # numbers; the exporter widens smaller matrices for good
KINDS: dict[Weights, int] = {
    "float16": onnx.TensorProto.FLOAT16,
    "bfloat16": onnx.TensorProto.BFLOAT16,
}
Half = tuple[Weights, str, ExportReport]


@pytest.fixture(
    scope="module",
    params=[("llava-siglip", "float16"), ("qwen2_5_vl", "bfloat16")],
    ids=lambda param: "-".join(param),
)
def half(
    request: pytest.FixtureRequest,
    checkpoint_of: CheckpointOf,
    tmp_path_factory: pytest.TempPathFactory,
) -> Half:
    """Matrices in half precision: what was asked for, the checkpoint, its export."""
    case, weights = request.param
    checkpoint = str(checkpoint_of(case))
    options = ExportOptions(weights=weights, layers=CASES[case].layers)
    out = tmp_path_factory.mktemp("half") / "bundle"
    return weights, checkpoint, export_bundle(checkpoint, out, options)


def test_half_precision(half: Half) -> None:
    weights, checkpoint, report = half
    assert all(row.passed for row in report.comparisons)
    assert report.manifest.weights == weights
    kind = KINDS[weights]
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


def test_weights_are_widened_right_before_their_use(half: Half) -> None:
    """ONNX Runtime follows the order of nodes: in another, all weights would be widened at once."""
    *_, report = half
    graph = onnx.load(report.folder / names.graph_file(names.DECODER)).graph
    known = {tensor.name for tensor in graph.initializer}
    alone = []
    for node in graph.node:
        alone.append(bool(node.input) and known.issuperset(node.input))
        known.update(node.output if alone[-1] else ())
    assert any(alone)
    assert alone == sorted(alone, reverse=True)
