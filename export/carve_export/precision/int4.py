"""4-bit weights in blocks with a scale and a zero point each: ONNX Runtime's ``MatMulNBits``.

Weights are rounded by GPTQ (:mod:`carve_export.precision.gptq`). Those whose rounding changes the
graph's results most, for their size, get 8 bits instead, until the others together change no result
by more than a tolerance: the squares of small errors of many products add up.
"""

from __future__ import annotations

import math
from itertools import compress
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from carve_export.precision.calibration import Feeds, FeedSource
from carve_export.precision.gptq import Floats, Rounded, order_rows, round_weight
from carve_export.precision.half import drop_unused
from carve_export.precision.probe import input_products, squared_errors
from carve_export.precision.products import products

BLOCK = 32
#: Largest change of a graph's results, root mean square, relative;
#: ``python -m tools.research.precision.search`` shows why.
TOLERANCE = 0.01
_BITS = 4, 8
_DOMAIN = "com.microsoft"
#: Products are compared on every eighth recorded run, which is enough.
_EVERY = 8


def to_int4(
    model: onnx.ModelProto,
    only: set[str] | None,
    feeds: FeedSource,
    *,
    block: int = BLOCK,
    tolerance: float = TOLERANCE,
) -> onnx.ModelProto:
    """Return a model in int4, see :func:`carve_export.precision.lower`.

    Args:
        model: the graph; it is changed.
        only: results of the products to change.
        feeds: returns recorded inputs of the graph.
        block: rows that share a scale and a zero point.
        tolerance: by how much 4-bit weights may change the graph's results; infinite for
            ``int4-only``, all products in 4 bits.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in _matrices(model)}
    nodes = [
        node
        for node in products(model, only)
        if node.op_type == "MatMul" and node.input[1] in weights
    ]
    if not nodes:
        return model
    runs = feeds()
    rounded = _round(model, nodes, weights, runs, block, _BITS[0])
    exact = _needing_more(model, nodes, rounded, runs, tolerance)
    if exact:
        rounded |= _round(model, exact, weights, runs, block, _BITS[1])
    for node in nodes:
        _replace(model.graph, node, rounded[node.output[0]], _BITS[node in exact])
    drop_unused(model.graph)
    if _DOMAIN not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return model


def needs_more(errors: Floats, sizes: NDArray[np.int64], tolerance: float) -> NDArray[np.bool_]:
    """Return which products need more bits.

    Args:
        errors: (products, outputs) relative squared errors that each causes.
        sizes: (products,) what more bits for each would cost.
        tolerance: of the error of each output, relative.
    """
    chosen = np.zeros(len(errors), np.bool_)
    totals = np.maximum(errors.sum(axis=0), np.finfo(np.float64).tiny)
    for index in np.argsort(-(errors / totals).max(axis=1) / sizes, kind="stable"):
        if (errors[~chosen].sum(axis=0) <= tolerance**2).all():
            break
        chosen[index] = True
    return chosen


def _matrices(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]


def _round(
    model: onnx.ModelProto,
    nodes: list[NodeProto],
    weights: dict[str, NDArray[Any]],
    runs: Feeds,
    block: int,
    bits: int,
) -> dict[str, Rounded]:
    """Return the nodes' weights rounded to ``bits`` bits, by the nodes' results."""
    sizes = {node.input[0]: len(weights[node.input[1]]) for node in nodes}
    rounded = {}
    for name, sums in input_products(model, sizes, runs):
        order = order_rows(sums)
        for node in nodes:
            if node.input[0] == name:
                weight = weights[node.input[1]]
                rounded[node.output[0]] = round_weight(weight, order, bits, block)
    return rounded


def _needing_more(
    model: onnx.ModelProto,
    nodes: list[NodeProto],
    rounded: dict[str, Rounded],
    runs: Feeds,
    tolerance: float,
) -> list[NodeProto]:
    """Return the nodes whose rounded weights change the graph's results too much."""
    if math.isinf(tolerance):
        return []
    changes = [(node.input[1], rounded[node.output[0]].values()) for node in nodes]
    errors = squared_errors(model, changes, runs[::_EVERY])
    sizes = np.array([values.size for _, values in changes])
    return list(compress(nodes, needs_more(errors, sizes, tolerance)))


def _replace(graph: onnx.GraphProto, node: NodeProto, rounded: Rounded, bits: int) -> None:
    """Turn a product into one with a rounded weight."""
    _, block, columns = rounded.codes.shape
    parts = {
        "codes": _pack(rounded.codes.transpose(2, 0, 1), bits),
        "scales": rounded.scales.T.reshape(-1),
        "zeros": _pack(rounded.zeros.T, bits).reshape(-1),
    }
    names = [f"{node.output[0]}.{part}" for part in parts]
    for name, array in zip(names, parts.values(), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    node.CopyFrom(
        helper.make_node(
            "MatMulNBits",
            [node.input[0], *names],
            list(node.output),
            node.name,
            domain=_DOMAIN,
            K=rounded.rows,
            N=columns,
            bits=bits,
            block_size=block,
        )
    )


def _pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack codes into bytes along the last axis, the first code in the lowest bits."""
    each = 8 // bits
    widths = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % each)]
    grouped = np.pad(codes, widths).reshape(*codes.shape[:-1], -1, each)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(grouped << shifts, axis=-1)
    return packed
