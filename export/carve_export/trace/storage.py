"""Store matrices as they are multiplied, ``[in, out]``, where PyTorch keeps ``[out, in]``.

A runtime would otherwise transpose each of them when it loads the graph, with both in memory.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.tensor_adapters import TorchTensor

#: What follows a parameter's name where it is stored transposed.
SUFFIX = ".transposed"


def store_as_multiplied(model: ir.Model) -> None:
    """Let the graph read parameters transposed, in place of transposing them.

    They stay views of the module's own: a matrix is copied only while it is written.

    Args:
        model: a trace before its optimization, whose initializers are PyTorch's tensors.
    """
    for node in list(model.graph):
        if node.op_type != "Transpose" or node.attributes["perm"].as_ints() != (1, 0):
            continue
        source, widening = node.inputs[0], None
        if source is not None and not source.is_initializer():
            widening = source.producer()  # of a matrix that is stored as fewer bits
            if widening is None or widening.op_type != "Cast":
                continue
            source = widening.inputs[0]
        if source is None or not source.is_initializer():
            continue
        result = _transposed(model.graph, source)
        if widening is not None:
            kind = widening.attributes["to"].as_int()
            cast = ir.node("Cast", [result], {"to": kind})
            model.graph.insert_before(node, cast)
            result = cast.outputs[0]
        node.outputs[0].replace_all_uses_with(result)
        model.graph.remove(node, safe=True)


def _transposed(graph: ir.Graph, matrix: ir.Value) -> ir.Value:
    """Return the transposed parameter, added to the graph where it is not there yet."""
    name = f"{matrix.name}{SUFFIX}"
    if name not in graph.initializers:
        assert matrix.const_value is not None
        view = TorchTensor(matrix.const_value.raw.detach().t(), name)
        graph.register_initializer(
            ir.Value(name=name, type=matrix.type, shape=view.shape, const_value=view)
        )
    return graph.initializers[name]
