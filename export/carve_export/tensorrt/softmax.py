"""Put softmax directly before its product, which TensorRT fuses in half precision.

Between the two, PyTorch's attention puts zeros where a query sees no key at all: there softmax, of
minus infinity alone, is NaN. With a large negative number in place of minus infinity this guard is
not needed: the weights of hidden keys are still 0, and a query without keys sees all keys alike.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

#: Added to hidden scores: far below any score, and finite in float32 whatever the score.
HIDDEN = -1e30


def unguard_softmax(model: onnx.ModelProto) -> None:
    """Change a model in place: hide with a finite number, drop ``Where(IsNaN(x), 0, x)``."""
    graph = model.graph
    for tensor in graph.initializer:
        is_number = tensor.data_type == TensorProto.FLOAT and not tensor.dims
        if is_number and numpy_helper.to_array(tensor) == -np.inf:
            tensor.CopyFrom(numpy_helper.from_array(np.array(HIDDEN, np.float32), tensor.name))
    makers = {name: node for node in graph.node for name in node.output}
    guarded: dict[str, str] = {}
    dropped: list[onnx.NodeProto] = []
    for node in graph.node:
        test = makers.get(node.input[0]) if node.op_type == "Where" else None
        if test is not None and test.op_type == "IsNaN" and test.input[0] == node.input[2]:
            guarded[node.output[0]] = node.input[2]
            dropped += [node, test]
    for node in dropped:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [guarded.get(name, name) for name in node.input]
