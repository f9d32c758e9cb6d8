"""8-bit graphs: what stays in float32, and what ONNX Runtime computes with the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from carve_export.precision import Precision, lower
from carve_export.precision.outliers import with_outliers
from tests.comparing import assert_close
from tests.export.precision.graphs import graph_of

WIDTH = 32
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("v", "w")}
HUGE = 1e4
#: Not looked into: the graphs hold their weights.
FOLDER = Path()
Run = dict[str, NDArray[np.float32]]


def inputs(lengths: tuple[int, ...], huge: tuple[int, ...] = ()) -> list[Run]:
    """Return runs of the given lengths; those at ``huge`` begin with a vector with a huge value."""
    runs = [{"x": RNG.normal(size=(1, length, WIDTH)).astype(np.float32)} for length in lengths]
    for place in huge:
        runs[place]["x"][0, 0, 0] = HUGE
    return runs


@pytest.fixture
def model() -> onnx.ModelProto:
    """Return a product of any values, then one of values that were limited."""
    nodes = [
        helper.make_node("Relu", ["x"], ["any"]),
        helper.make_node("MatMul", ["any", "v"], ["a"], "first"),
        helper.make_node("Tanh", ["a"], ["limited"]),
        helper.make_node("MatMul", ["limited", "w"], ["y"], "second"),
    ]
    return graph_of(nodes, WEIGHTS)


def run(model: onnx.ModelProto, feeds: Run) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, feeds)[0], np.float32)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(
    ("lengths", "huge"),
    [((9, 9), ()), ((9, 9), (0, 1)), ((1, 400), (0,))],
    ids=["none", "always", "in a run of its own"],
)
def test_outliers(
    model: onnx.ModelProto, lengths: tuple[int, ...], huge: tuple[int, ...], fixed: bool
) -> None:
    """A huge value harms its run; where one scale serves all runs, the others too."""
    runs = inputs(lengths, huge)
    actual = with_outliers(model, FOLDER, ["x", "any", "limited"], runs, fixed=fixed)
    harmed = set(huge) == set(range(len(lengths))) or (bool(huge) and fixed)
    assert actual == ({"x", "any"} if harmed else set())
    assert with_outliers(model, FOLDER, ["x"], runs, fixed=fixed) == actual & {"x"}


def kinds(model: onnx.ModelProto) -> list[str]:
    """Return which product reads integers, by the operator that feeds it."""
    makers: dict[str, Any] = {name: node for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type.startswith("MatMul")]
    return [makers[node.input[0]].op_type for node in products]


@pytest.mark.parametrize(
    ("precision", "reads"), [("int8", "DynamicQuantizeLinear"), ("int8-static", "DequantizeLinear")]
)
def test_products_with_outliers_stay(
    model: onnx.ModelProto, precision: Precision, reads: str
) -> None:
    baseline, runs = onnx.ModelProto(), inputs((9, 9), (0, 1))
    baseline.CopyFrom(model)
    lowered = lower(model, precision, lambda: runs, FOLDER)
    assert kinds(lowered) == ["Relu", reads]
    for feeds in runs:
        expected, actual = run(baseline, feeds), run(lowered, feeds)
        assert_close(actual, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("precision", ["int8", "int8-static"])
def test_large_sums_do_not_overflow(model: onnx.ModelProto, precision: Precision) -> None:
    """Weights and inputs at the ends of their ranges, which x86 without VNNI adds in 16 bits."""
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.ones((WIDTH, WIDTH), np.float32), tensor.name))
    baseline, feeds = onnx.ModelProto(), {"x": np.ones((1, 8, WIDTH), np.float32)}
    baseline.CopyFrom(model)
    lowered = lower(model, precision, lambda: [feeds], FOLDER)
    assert "Relu" not in kinds(lowered)
    assert_close(run(lowered, feeds), run(baseline, feeds), rtol=0.01)
