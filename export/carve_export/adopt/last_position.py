"""Let a decoder compute the logits of its last position alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant

#: Products with a matrix of weights, row by row of the first input.
_PRODUCTS = {"MatMul", "MatMulNBits", "MatMulBnb4"}
#: What may happen to logits behind the product, number by number.
_SHAPING = {"Add", "Cast", "Div", "Identity", "Mul", "Tanh"}
#: What may happen to weights before the product.
_PREPARING = {"Cast", "Constant", "DequantizeLinear", "Identity", "Reshape", "Transpose"}
_POSITIONS = 1  # the axis
_END = np.iinfo(np.int64).max


def keep_last(op: Op, graph: ir.Graph, logits: ir.Value) -> Value | None:
    """Return the logits of the last position, (B, 1, V).

    Before the product with the vocabulary where that is found, for it takes most of a long prompt's
    time and memory; behind it otherwise.

    Args:
        op: the operators; what they add is at the graph's end.
        graph: the decoder.
        logits: (B, S, V), an output of it.

    Returns:
        ``None`` if the decoder returns one position as it is.
    """
    if logits.shape is not None and logits.shape[_POSITIONS] == 1:
        return None
    product = _product(logits)
    if product is None:
        return _last(op, logits)
    nodes = set(graph)
    product.replace_input_with(0, _last(op, product.inputs[0]))
    added = [node for node in graph if node not in nodes]
    graph.remove(added)
    graph.insert_before(product, added)
    return logits


def _last(op: Op, states: ir.Value | None) -> Value:
    """Return the last of the states, (B, 1, width)."""
    starts, ends, axes = ([number] for number in (-1, _END, _POSITIONS))
    return op.Slice(states, *[constant(op, each, np.int64) for each in (starts, ends, axes)])


def _product(logits: ir.Value) -> ir.Node | None:
    """Return the product that logits come from; ``None`` if its rows have another use."""
    value = logits
    while True:
        node = value.producer()
        if node is None or len(node.outputs) != 1 or len(value.uses()) > (value is not logits):
            return None
        varying = [each for each in node.inputs if each is not None and not _is_constant(each)]
        if len(varying) != 1 or varying[0] is not node.inputs[0]:
            return None
        if node.op_type in _PRODUCTS:
            return node
        if node.op_type not in _SHAPING:
            return None
        value = varying[0]


def _is_constant(value: ir.Value) -> bool:
    node = value.producer()
    if node is None:
        return bool(value.is_initializer())
    inputs = [each for each in node.inputs if each is not None]
    return node.op_type in _PREPARING and all(map(_is_constant, inputs))
