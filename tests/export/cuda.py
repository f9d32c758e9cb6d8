"""What ONNX Runtime's CUDA provider does with the nodes of a graph, for tests without a GPU."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import onnx
import yaml
from onnx import TensorProto

from carve_models.graph_spec import Dtype
from tests.support import TESTS

#: They read a tensor's shape or give its bytes another: nothing is launched for them.
VIEWS = frozenset({"Shape", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Constant"})

#: Types that each operator has a kernel for, see :mod:`tools.checks.cuda_kernels`.
KERNELS = yaml.safe_load((TESTS / "export" / "cuda_kernels.yaml").read_text())["kernels"]

#: What ONNX Runtime's table calls a type that it names otherwise.
_NAMES = {"float32": "float"}


def launching(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that launch work, in the graph's order.

    Those that compute with sizes of inputs alone run on the CPU, where sizes are.
    """
    host = {tensor.name for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "Shape" or host.issuperset(filter(None, node.input)):
            host.update(node.output)
        elif node.op_type not in VIEWS:
            nodes.append(node)
    return nodes


def without_kernel(graph: onnx.GraphProto, dtype: Dtype) -> list[str]:
    """Name the launching nodes that CUDA has no kernel for, with their types.

    Args:
        graph: a graph in float16.
        dtype: what to take float16 for.
    """
    half = {"float16": _NAMES.get(dtype, dtype)}
    kinds = {tensor.name: _kind(tensor.data_type) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kinds[value.name] = _kind(value.type.tensor_type.elem_type)
    found = []
    for node in launching(graph):
        inputs, outputs = (
            [half.get(kinds.get(name, ""), kinds.get(name, "")) for name in names]
            for names in (node.input, node.output)
        )
        kernel = KERNELS.get(node.op_type)
        if kernel is None or not any(
            _fits(inputs, signature["in"], kernel["types"])
            and _fits(outputs, signature["out"], kernel["types"])
            for signature in kernel["signatures"]
        ):
            found.append(f"{node.op_type} {inputs} -> {outputs}")
    return found


def _kind(number: int) -> str:
    return str(TensorProto.DataType.Name(number)).lower()


def _fits(kinds: list[str], declared: list[str], types: dict[str, Any]) -> bool:
    """Return whether each type is one that is declared; the last stands for all that follow."""
    return all(
        kind in types.get(variable, [variable])
        for kind, variable in zip(kinds, chain(declared, repeat(declared[-1])), strict=False)
        if kind
    )
