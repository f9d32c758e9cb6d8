"""Small graphs to lower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


def graph_of(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    output: str = "y",
    opset: int = 18,
) -> onnx.ModelProto:
    """Return a graph of products in a row, from ``x`` (1, length, K) on; the last one gives N.

    Args:
        nodes: of the graph.
        weights: by name, (K, ...) the first one, (..., N) the last one.
        output: name of the result.
        opset: ONNX operator set.
    """
    first, *_, last = weights.values()
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "length", first.shape[0]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, "length", last.shape[1]])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
