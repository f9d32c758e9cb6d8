"""A decoder whose body and last product are in precisions of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from onnx.external_data_helper import load_external_data_for_model

from carve_export.precision import Precision, lower_decoder
from carve_export.precision.half import emulate
from carve_models import names
from tests.export.precision.graphs import graph_of

WIDTH = 64
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("v", "w")}
X = RNG.normal(size=(1, 9, WIDTH)).astype(np.float32)
#: Of the body, of the last product, and the error that both together may cause.
PAIRS: list[tuple[Precision, Precision, float]] = [
    ("bf16", "int8", 0.02),
    ("int8", "bf16", 0.02),
    ("bf16", "int8-static", 0.03),
    ("int8-static", "bf16", 0.03),
    ("bf16", "int4-only", 0.2),
    ("int4-only", "bf16", 0.2),
    ("int8-static", "int8-static", 0.03),
    ("int4-only", "int8", 0.2),
]
KINDS: dict[Precision, str] = {
    "bf16": "MatMul",
    "int8": "MatMulInteger",
    "int8-static": "MatMul",
    "int4-only": "MatMulNBits",
}


@pytest.fixture
def model() -> onnx.ModelProto:
    """Return a product, a step, and the product that gives the logits."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("MatMul", ["a", "v"], ["b"], "body"),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], [names.LOGITS], "head"),
    ]
    return graph_of(nodes, WEIGHTS, output=names.LOGITS)


@pytest.mark.parametrize(("body", "lm_head", "largest"), PAIRS)
def test_each_has_its_own(
    model: onnx.ModelProto, body: Precision, lm_head: Precision, largest: float, tmp_path: Path
) -> None:
    """Also where one half does not run here, and the other is made by running the graph."""
    lowered = lower_decoder(model, body, lm_head, lambda: [{"x": X}], tmp_path)
    load_external_data_for_model(lowered, str(tmp_path))
    operators = [node.op_type for node in lowered.graph.node if node.op_type.startswith("MatMul")]
    assert operators == [KINDS[body], KINDS[lm_head]]
    emulate(lowered, "bf16")
    session = ort.InferenceSession(lowered.SerializeToString())
    logits = np.asarray(session.run(None, {"x": X})[0])
    expected = np.tanh(np.maximum(X, 0) @ WEIGHTS["v"]) @ WEIGHTS["w"]
    assert 0 < np.linalg.norm(logits - expected) / np.linalg.norm(expected) < largest
