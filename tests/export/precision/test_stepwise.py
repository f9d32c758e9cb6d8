"""Tensors of a graph, a few nodes at a time: the same as at once, in a fraction of the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carve_export.onnx_files import drop_written, save_model
from carve_export.precision.int4 import to_int4
from carve_export.precision.lower import lower
from carve_export.precision.stepwise import tensors
from tests.comparing import assert_close
from tools.shared.memory import measured

#: Of the graphs whose memory is compared; a matrix takes 2 MB in half precision.
LAYERS, WIDTH = (2, 42), 1024
#: Of the bytes of the matrices that the deeper graph has in addition.
LARGEST_SHARE = 0.5


def chain(layers: int, width: int) -> onnx.ModelProto:
    """Return products in a row in half precision, every result added to the one before.

    Every second matrix is stored transposed.
    """
    half, random = TensorProto.FLOAT16, np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights = []
    for layer in range(layers):
        values = (random.normal(size=(width, width)) / (4 * width**0.5)).astype(np.float16)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        matrix = f"w{layer}"
        if layer % 2:
            matrix = f"turned{layer}"
            # In front of all others, as the exporter writes them.
            turn = helper.make_node("Transpose", [f"w{layer}"], [matrix], perm=[1, 0])
            nodes.insert(0, turn)
        nodes += [
            helper.make_node("MatMul", [f"x{layer}", matrix], [f"y{layer}"], f"product{layer}"),
            helper.make_node("Add", [f"x{layer}", f"y{layer}"], [f"x{layer + 1}"]),
        ]
    ends = [
        helper.make_tensor_value_info(name, half, ["length", width])
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def inputs(width: int) -> list[dict[str, NDArray[Any]]]:
    random = np.random.default_rng(1)
    return [{"x0": random.normal(size=(count, width)).astype(np.float16)} for count in (5, 9)]


@pytest.mark.parametrize("external_above", [0, 1 << 30], ids=["beside the graph", "in the graph"])
def test_what_later_nodes_read(external_above: int, tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    save_model(chain(5, 64), path, external_above)
    model, feeds = onnx.load(path, load_external_data=False), inputs(64)
    wanted = [f"x{layer}" for layer in range(5)]
    weights = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in onnx.load(path).graph.initializer
    }
    expected = [run["x0"].astype(np.float32) for run in feeds]
    for layer, (name, arrays) in enumerate(tensors(model, tmp_path, wanted, feeds)):
        assert name == f"x{layer}"
        for actual, exact in zip(arrays, expected, strict=True):
            assert actual.dtype == np.float16
            assert_close(actual, exact, atol=0.02)
        weight = weights[f"w{layer}"].T if layer % 2 else weights[f"w{layer}"]
        expected = [exact + exact @ weight for exact in expected]


def test_both_ways_to_store_a_matrix(tmp_path: Path) -> None:
    """Some in 8 bits, because all of them are compared: no error is as small."""
    path = tmp_path / "chain.onnx"
    save_model(chain(4, 64), path, 0)
    exact, feeds = onnx.load(path), inputs(64)
    model = onnx.load(path, load_external_data=False)
    lowered = to_int4(model, None, lambda: feeds, tmp_path, tolerance=1e-4)
    assert {node.op_type for node in lowered.graph.node} == {"MatMulNBits", "Add"}
    save_model(lowered, tmp_path / "lowered.onnx")
    drop_written(tmp_path)
    for run in feeds:
        (expected,) = onnx_run(exact, run)
        (actual,) = onnx_run(onnx.load(tmp_path / "lowered.onnx"), run)
        assert 0 < np.linalg.norm(actual - expected) / np.linalg.norm(expected) < 0.01


def onnx_run(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return [array.astype(np.float32) for array in session.run(None, feeds)]


def lower_file(path: Path) -> int:
    """Lower a graph in place, and return the bytes of its file of weights before."""
    size = path.with_name(f"{path.name}_data").stat().st_size
    model = onnx.load(path, load_external_data=False)
    lowered = lower(model, "int4-only", lambda: inputs(WIDTH), path.parent)
    save_model(lowered, path, 0)
    drop_written(path.parent)
    return size


def test_memory_does_not_grow_with_depth(tmp_path: Path) -> None:
    stages = []
    for layers in LAYERS:
        path = tmp_path / f"{layers}" / "chain.onnx"
        path.parent.mkdir()
        save_model(chain(layers, WIDTH), path, 0)
        stages.append(measured(f"lower {layers} matrices", lower_file, path))
    shallow, deep = stages
    grown, added = deep.own_bytes - shallow.own_bytes, deep.result - shallow.result
    print(f"{grown / 1e6:.0f} MB more for matrices of {added / 1e6:.0f} MB more")
    assert grown < LARGEST_SHARE * added
