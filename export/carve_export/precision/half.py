"""Half precision for products and look-ups, float32 for the rest.

Matrix products, convolutions and embeddings compute in float16 or bfloat16, between casts; norms,
softmax, rotary angles, residual sums and the attention tap stay in float32, and so do a graph's
inputs and outputs. TensorRT builds such a graph as it is typed. ONNX Runtime runs float16 anywhere,
bfloat16 only on GPUs: :func:`emulate` makes a graph with the same roundings for CPUs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from carve_models.errors import ExportError
from carve_models.names import LAST_ROW

HalfType = Literal["fp16", "bf16"]

_TYPES: dict[HalfType, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_PRODUCTS = {"MatMul", "Gemm", "Conv"}
_LOOK_UPS = {"Gather"}
_ANGLES = {"Sin", "Cos"}


def to_half(
    model: onnx.ModelProto, precision: HalfType, only: Collection[str] | None = None
) -> None:
    """Change a model in place; its weights must be loaded.

    An operator that the model's operator set does not define in this precision stays in float32
    (``Conv`` in bfloat16 before 22), and so does a product of quantised operands, which runtimes
    compute in integers.

    Args:
        model: in float32, with standard operators.
        precision: of its products.
        only: results of the products to change; all if ``None``.

    Raises:
        ExportError: a weight is too large for float16.
    """
    graph, half = model.graph, _TYPES[precision]
    weights = {
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor.dims
    }
    exact = kept_exact(graph) | _quantized(graph)
    multiplied = {name for name in _PRODUCTS if _has_type(name, model, half)}
    nodes: list[NodeProto] = []
    cast: dict[str, str] = {}

    def halved(name: str) -> str:
        """Return a tensor's name in half precision; a weight is converted, once."""
        if name not in cast:
            cast[name] = f"{name}_{precision}"
            if name in weights:
                graph.initializer.append(_convert(weights[name], cast[name], half))
            else:
                nodes.append(helper.make_node("Cast", [name], [cast[name]], to=half))
        return cast[name]

    for node in graph.node:
        looks_up = node.op_type in _LOOK_UPS and node.input[0] in weights
        multiplies = node.op_type in multiplied and node.output[0] not in exact
        if (multiplies or looks_up) and (only is None or node.output[0] in only):
            floats = 1 if looks_up else len(node.input)
            for index, name in enumerate(node.input[:floats]):
                if name:
                    node.input[index] = halved(name)
            result = node.output[0]
            node.output[0] = f"{result}_{precision}_product"
            back = helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT)
            nodes += [node, back]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)


def emulate(model: onnx.ModelProto, precision: HalfType) -> None:
    """Change what :func:`to_half` made, in place: products of rounded operands, in float32.

    The sum of each product is rounded once, at its end, as tensor cores do.
    """
    graph, half = model.graph, _TYPES[precision]
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == half}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type in _PRODUCTS and halves.intersection(node.input):
            result = node.output[0]
            for index, name in enumerate(node.input):
                wide = f"{result}_operand_{index}"
                nodes.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
                node.input[index] = wide
            node.output[0] = f"{result}_wide"
            nodes += [node, helper.make_node("Cast", [node.output[0]], [result], to=half)]
        else:
            nodes.append(node)
            if node.op_type == "Cast" and node.attribute[0].i == half:
                halves.add(node.output[0])
    del graph.node[:]
    graph.node.extend(nodes)


def kept_exact(graph: onnx.GraphProto) -> set[str]:
    """Return the results that only the tap depends on, or that rotary angles depend on."""
    rows = [value.name for value in graph.output if value.name.startswith(LAST_ROW)]
    others = [value.name for value in graph.output if value.name not in rows]
    angles = [name for node in graph.node if node.op_type in _ANGLES for name in node.input]
    tap = _ancestors(graph, rows) - _ancestors(graph, others)
    return tap | _ancestors(graph, angles)


def _quantized(graph: onnx.GraphProto) -> set[str]:
    """Return the results of products that read quantised operands."""
    read = {
        name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output
    }
    return {node.output[0] for node in graph.node if read.intersection(node.input)}


def _has_type(op_type: str, model: onnx.ModelProto, dtype: int) -> bool:
    """Return whether an operator computes in a type, in the model's standard operator set."""
    version = next(opset.version for opset in model.opset_import if not opset.domain)
    known = onnx.defs.get_schema(op_type, version).type_constraints[0].allowed_type_strs
    return f"tensor({TensorProto.DataType.Name(dtype).lower()})" in known


def _ancestors(graph: onnx.GraphProto, names: Iterable[str]) -> set[str]:
    makers = {name: node for node in graph.node for name in node.output}
    reached: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in makers and name not in reached:
            reached.add(name)
            pending.extend(makers[name].input)
    return reached


def _convert(tensor: TensorProto, name: str, half: int) -> TensorProto:
    dtype = helper.tensor_dtype_to_np_dtype(half)
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if half == TensorProto.FLOAT16 and largest > float(np.finfo(np.float16).max):
        raise ExportError(
            f"the weight {tensor.name} reaches {largest:g}, beyond float16", "choose bf16"
        )
    return numpy_helper.from_array(values.astype(dtype), name)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that nothing uses any more, and shapes of results that are new."""
    used = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            nodes.append(node)
    kept_nodes = nodes[::-1]
    del graph.node[:]
    graph.node.extend(kept_nodes)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    # Shapes and types that were inferred before do not hold for new results.
    known = [value for value in graph.value_info if value.name in used]
    del graph.value_info[:]
    graph.value_info.extend(known)
