"""4-bit graphs: what ONNX Runtime computes with them, and which weights get more bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper
from onnx.external_data_helper import load_external_data_for_model

from carve_export.precision.int4 import input_products, needs_more, to_int4
from carve_export.precision.probe import squared_errors
from carve_export.precision.stepwise import tensors
from tests.comparing import assert_close
from tests.export.precision.graphs import graph_of

#: Neither is a number of whole blocks, nor even.
ROWS, WIDTH = 40, 37
EQUAL = 1e-5
RNG = np.random.default_rng(0)
WEIGHTS = {
    "first": RNG.normal(size=(ROWS, WIDTH)).astype(np.float32),
    "second": RNG.normal(size=(WIDTH, 3)).astype(np.float32),
}
FEEDS = [{"x": RNG.normal(size=(1, length, ROWS)).astype(np.float32)} for length in (5, 9)]


@pytest.fixture
def model() -> onnx.ModelProto:
    """Return two products with a step between them."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], "product_a"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["y"], "product_y"),
    ]
    return graph_of(nodes, WEIGHTS)


def run(model: onnx.ModelProto, folder: Path, feeds: dict[str, Any]) -> NDArray[np.float32]:
    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    load_external_data_for_model(loaded, str(folder))
    session = ort.InferenceSession(loaded.SerializeToString())
    return np.asarray(session.run(None, feeds)[0], np.float32)


def exact(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.maximum(x @ WEIGHTS["first"], 0) @ WEIGHTS["second"], np.float32)


@pytest.mark.parametrize(
    ("tolerance", "bits", "largest"), [(math.inf, (4, 4), 0.2), (0.0, (8, 8), 0.01)]
)
def test_a_lowered_graph(
    model: onnx.ModelProto, tolerance: float, bits: tuple[int, ...], largest: float, tmp_path: Path
) -> None:
    lowered = to_int4(model, None, lambda: FEEDS, tmp_path, tolerance=tolerance)
    attributes = [
        {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        for node in lowered.graph.node
        if node.op_type == "MatMulNBits"
    ]
    assert tuple(node["bits"] for node in attributes) == bits
    assert not {tensor.name for tensor in lowered.graph.initializer} & set(WEIGHTS)
    for feeds in FEEDS:
        expected, actual = exact(feeds["x"]), run(lowered, tmp_path, feeds)
        assert EQUAL < np.linalg.norm(actual - expected) / np.linalg.norm(expected) < largest


def test_only_what_is_asked_for(model: onnx.ModelProto, tmp_path: Path) -> None:
    lowered = to_int4(model, {"y"}, lambda: FEEDS, tmp_path)
    assert [node.op_type for node in lowered.graph.node] == ["MatMul", "Relu", "MatMulNBits"]
    lowered = to_int4(lowered, {"a"}, lambda: FEEDS, tmp_path)  # its input is the graph's
    assert [node.op_type for node in lowered.graph.node] == ["MatMulNBits", "Relu", "MatMulNBits"]
    untouched = to_int4(lowered, {"b"}, lambda: pytest.fail("nothing needs them"), tmp_path)
    assert [node.op_type for node in untouched.graph.node] == ["MatMulNBits", "Relu", "MatMulNBits"]


def test_what_products_see(model: onnx.ModelProto, tmp_path: Path) -> None:
    seen = tensors(model, tmp_path, ["x", "b"], FEEDS)
    sums = {name: input_products(arrays) for name, arrays in seen}
    x = np.concatenate([feeds["x"][0] for feeds in FEEDS])
    b = np.maximum(x @ WEIGHTS["first"], 0)
    assert_close(sums["x"], x.T @ x, rtol=EQUAL, atol=EQUAL)
    assert_close(sums["b"], b.T @ b, rtol=1e-4, atol=1e-4)


def test_what_one_weight_changes(model: onnx.ModelProto, tmp_path: Path) -> None:
    changes: list[tuple[str, NDArray[Any]]] = [
        ("second", 1.1 * WEIGHTS["second"]),
        ("first", 0 * WEIGHTS["first"]),
    ]
    expected = np.array([[0.01], [1.0]])
    errors = squared_errors(model, tmp_path, WEIGHTS, changes, FEEDS)
    assert_close(errors, expected, rtol=1e-4)


#: Errors of products, their sizes, a tolerance, and which need more bits.
PLANS: list[tuple[Sequence[Sequence[float]], Sequence[int], float, Sequence[bool]]] = [
    ([[0.0004], [0.0001], [0.0001]], (1, 1, 1), 0.1, (False, False, False)),
    ([[0.0004], [0.0001], [0.0001]], (1, 1, 1), 0.015, (True, False, False)),
    ([[0.0004], [0.0002], [0.0001]], (100, 1, 1), 0.021, (False, True, True)),
    ([[0.0004, 0.0], [0.0, 4e-6]], (1, 1), 0.01, (True, False)),
    ([[0.0004, 0.0], [0.0, 4e-6]], (1, 1), 0.0, (True, True)),
]


@pytest.mark.parametrize(("errors", "sizes", "tolerance", "expected"), PLANS)
def test_which_products_need_more_bits(
    errors: Sequence[Sequence[float]],
    sizes: Sequence[int],
    tolerance: float,
    expected: Sequence[bool],
) -> None:
    actual = needs_more(np.array(errors), np.array(sizes), tolerance)
    assert tuple(actual) == tuple(expected)
