"""Which nodes of a graph multiply or look up weights, and may be lowered."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from carve_export.precision.half import kept_exact

LOOK_UP = "Gather"
WITH_WEIGHTS = frozenset({"MatMul", "Gemm", LOOK_UP})


def products(
    model: onnx.ModelProto, only: set[str] | None, also: Collection[str] = ()
) -> list[onnx.NodeProto]:
    """Return the nodes that multiply or look up weights, in the graph's order.

    Args:
        model: the graph; what :func:`~carve_export.precision.half.kept_exact` names is left out.
        only: results of the nodes to choose from; all if ``None``.
        also: tensors that count as weights, for they are computed from weights alone.
    """
    weights = {tensor.name for tensor in model.graph.initializer}.union(also)
    exact = kept_exact(model.graph)
    return [
        node
        for node in model.graph.node
        if node.op_type in WITH_WEIGHTS
        and weights.intersection(node.input[:2])
        and node.output[0] not in exact
        and (only is None or node.output[0] in only)
    ]
