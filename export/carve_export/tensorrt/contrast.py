"""Steps 3 and 4 of ``docs/method.md`` on the token grid, as a graph that TensorRT takes.

The whole of ``carve_refine.onnx`` does not parse there: its sorts are longer than TensorRT's TopK,
3,840, and its slices have computed bounds. Threshold, regions and crop stay on the host.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from carve_export.tensorrt.ranges import LAYERS, STEPS, TOKENS
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.names import graph_file

CONTRAST = "contrast"
_OPSET = 18
_IR_VERSION = 8


def contrast_interface() -> GraphSpec:
    """Return the graph's interface, all float32.

    ``fused[n] = sum_t step_weights[t] sum_l layer_weights[l] question[t, l, n] / (general[t, l, n]
    + regularizer)``, where a weight of 0 leaves out a step or layer whatever it holds.
    """
    maps = (STEPS, LAYERS, TOKENS)
    shapes: dict[str, tuple[int | str, ...]] = {
        "question_attention": maps,
        "general_attention": maps,
        "step_weights": (STEPS,),
        "layer_weights": (LAYERS,),
        "regularizer": (1,),
    }
    inputs = tuple(Tensor(name=n, dtype="float32", shape=shape) for n, shape in shapes.items())
    fused = Tensor(name="fused", dtype="float32", shape=(TOKENS,))
    return GraphSpec(file=graph_file(CONTRAST), inputs=inputs, outputs=(fused,))


def write_contrast(folder: Path) -> Path:
    """Write the graph under a folder and return its path."""
    interface = contrast_interface()
    nodes = [
        helper.make_node("Add", ["general_attention", "regularizer"], ["steadied"]),
        helper.make_node("Div", ["question_attention", "steadied"], ["contrast"]),
        helper.make_node("Unsqueeze", ["step_weights", "step_axes"], ["by_step"]),
        helper.make_node("Unsqueeze", ["layer_weights", "layer_axes"], ["by_layer"]),
        helper.make_node("Mul", ["by_step", "by_layer"], ["weights"]),
        helper.make_node("Mul", ["contrast", "weights"], ["weighted"]),
        # A step or layer that is left out may hold zeros, whose contrast is no number.
        helper.make_node("Equal", ["weights", "nothing"], ["left_out"]),
        helper.make_node("Where", ["left_out", "nothing", "weighted"], ["used"]),
        helper.make_node("ReduceSum", ["used", "sum_axes"], ["fused"], keepdims=0),
    ]
    axes = {"step_axes": [1, 2], "layer_axes": [1], "sum_axes": [0, 1]}
    graph = helper.make_graph(
        nodes,
        CONTRAST,
        [_value(tensor) for tensor in interface.inputs],
        [_value(tensor) for tensor in interface.outputs],
        [
            *(helper.make_tensor(n, TensorProto.INT64, [len(a)], a) for n, a in axes.items()),
            helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
        ],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path = folder / interface.file
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.shape)
