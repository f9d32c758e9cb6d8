"""Write ``preprocess.onnx`` and ``carve_refine.onnx``: a consumer's whole image arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript
from onnx_ir.passes import common as common_passes

from carve_export.steps.contrast import fuse_contrast, place
from carve_export.steps.operators import Op, Value, scalars
from carve_export.steps.preprocess import preprocess
from carve_export.steps.refine import refine_image
from carve_export.steps.regions import RegionSettings, select_regions
from carve_models import names
from carve_models.families.family import Positions
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.image_rules import ImageRule
from carve_models.interface import preprocess_interface, refine_interface

#: ScatterElements with ``min`` came with this operator set; later ones bring nothing needed here.
_OPSET = 18
_IR_VERSION = 8  # the first that knows the operator set: the widest choice of runtimes


def write_step_graphs(folder: Path, rule: ImageRule, positions: Positions) -> None:
    """Write the graphs under a bundle's folder.

    Args:
        folder: the bundle's.
        rule: its image rule.
        positions: how its decoder's position ids grow.
    """

    def prepared(op: Op, image: Value, max_pixels: Value) -> Iterable[Value]:
        return preprocess(op, image, max_pixels, rule, positions)

    _write(folder, names.CARVE_REFINE, refine_interface(), _refine)
    _write(folder, names.PREPROCESS, preprocess_interface(rule, positions), prepared)


def _refine(
    op: Op,
    question_attention: Value,
    general_attention: Value,
    grid: Value,
    window: Value,
    image: Value,
    step_weights: Value,
    layer_weights: Value,
    regularizer: Value,
    mask_top_p: Value,
    max_regions: Value,
    strategy: Value,
    rule: Value,
    outlier_percent: Value,
    max_refined_pixels: Value,
) -> Iterable[Value]:
    """Steps 3 to 7 of ``docs/method.md``, in the order of the graph's inputs and outputs."""
    height, width = scalars(op, op.Shape(image), 2)
    fused = fuse_contrast(
        op, question_attention, general_attention, step_weights, layer_weights, regularizer
    )
    saliency = place(op, fused, grid, window, (height, width))
    settings = RegionSettings(mask_top_p, max_regions, strategy, rule, outlier_percent)
    mask = select_regions(op, saliency, settings)
    refined = refine_image(op, image, mask, max_refined_pixels)
    return saliency, mask, refined.box, refined.image, refined.limited


def _write(folder: Path, name: str, interface: GraphSpec, body: Any) -> None:
    graph = ir.Graph([], [], nodes=[], name=name, opset_imports={"": _OPSET})
    builder = onnxscript.GraphBuilder(graph)
    inputs = [_value(builder, tensor) for tensor in interface.inputs]
    for value, tensor in zip(body(builder.op, *inputs), interface.outputs, strict=True):
        output = builder.op.Identity(value)
        output.dtype = _dtype(tensor)
        output.shape = ir.Shape(tensor.shape)
        builder.add_output(output, tensor.name)
    for node in graph.all_nodes():
        node.metadata_props.clear()
    built = ir.Model(graph, ir_version=_IR_VERSION, producer_name="carve-vlm")
    common_passes.RemoveUnusedNodesPass()(built)
    model = ir.to_proto(built)
    onnx.checker.check_model(model, full_check=True)
    path = folder / names.graph_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _value(builder: Any, tensor: Tensor) -> Value:
    return builder.input(tensor.name, _dtype(tensor), tensor.shape)


def _dtype(tensor: Tensor) -> ir.DataType:
    return ir.DataType.from_numpy(np.dtype(tensor.dtype))
