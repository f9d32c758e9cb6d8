"""Cut the written decoder into a lower and an upper half that share its weights.

The halves are graphs without weights of their own: they point at the bytes in the whole decoder's
file, so a bundle holds every weight once, and a runtime that runs the halves loads it once.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from carve_export.onnx_files import SMALLEST_EXTERNAL
from carve_export.trace.decoder import row_name
from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.errors import ExportError
from carve_models.graph_spec import Dtype, GraphSpec, Tensor
from carve_models.interface import decoder_interface
from carve_models.manifest import DecoderSpec


def split_decoder(folder: Path, spec: DecoderSpec, dtype: Dtype) -> None:
    """Write the halves beside the whole decoder, if it is to be split."""
    if spec.exit_layers is None:
        return
    whole = folder / names.graph_file(names.DECODER)
    model = onnx.load(whole, load_external_data=False)
    _point_at(model, whole)
    for part in spec.parts:
        half = _cut(model, spec, part, dtype)
        onnx.save(half, folder / names.graph_file(part.name))


def _point_at(model: onnx.ModelProto, path: Path) -> None:
    """Replace the weights in a model by references to their bytes in the file it was read from."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = 0
        for tensor in model.graph.initializer:
            size = len(tensor.raw_data)
            if size < SMALLEST_EXTERNAL or tensor.data_location == TensorProto.EXTERNAL:
                continue
            start = data.find(tensor.raw_data, end)  # in the order of the file
            if start < 0:
                raise ExportError(
                    f"the weight {tensor.name} is not where {path.name} should have it",
                    "report the version of onnx",
                )
            end = start + size
            onnx.external_data_helper.set_external_data(tensor, path.name, start, size)
            tensor.ClearField("raw_data")


def _cut(
    model: onnx.ModelProto, spec: DecoderSpec, part: DecoderPart, dtype: Dtype
) -> onnx.ModelProto:
    """Return the nodes between a part's inputs and outputs, as a model of its own."""
    interface = decoder_interface(spec, part, dtype)
    known_as = {names.LAST_ROW: row_name(part, spec.parts)}  # in the whole decoder
    outputs = [known_as.get(tensor.name, tensor.name) for tensor in interface.outputs]
    inputs = {tensor.name for tensor in interface.inputs}
    nodes = nodes_between(model.graph, inputs, outputs)
    renamed = {name: tensor for tensor, name in known_as.items()}
    sizes = _Sizes(decoder_interface(spec, spec.whole, dtype), interface)
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        [_rename(sizes.from_own_inputs(node), renamed) for node in nodes],
        part.name,
        [_value(tensor) for tensor in interface.inputs],
        [_value(tensor) for tensor in interface.outputs],
        initializer=[tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    half = onnx.ModelProto()
    half.CopyFrom(model)
    half.graph.CopyFrom(graph)
    return half


class _Sizes:
    """Where a part finds sizes that the whole decoder reads from inputs that the part lacks."""

    def __init__(self, whole: GraphSpec, part: GraphSpec) -> None:
        own = {tensor.name for tensor in part.inputs}
        self._foreign = {tensor.name: tensor for tensor in whole.inputs if tensor.name not in own}
        self._places = {
            size: (tensor.name, axis)
            for tensor in part.inputs
            for axis, size in enumerate(tensor.shape)
        }

    def from_own_inputs(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the node, reading the same size from an input of the part."""
        if node.op_type != "Shape" or node.input[0] not in self._foreign:
            return node
        axis = next(entry.i for entry in node.attribute if entry.name == "start")
        name, start = self._places[self._foreign[node.input[0]].shape[axis]]
        return onnx.helper.make_node("Shape", [name], node.output, start=start, end=start + 1)


def nodes_between(
    graph: onnx.GraphProto, inputs: Collection[str], outputs: Collection[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, back to the inputs, in the graph's order."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    needed: set[int] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        index = makers.get(name)
        if name in inputs or index is None or index in needed:
            continue
        needed.add(index)
        pending.extend(graph.node[index].input)
    return [graph.node[index] for index in sorted(needed)]


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for field in (copy.input, copy.output):
        field[:] = [renamed.get(name, name) for name in field]
    return copy


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return onnx.helper.make_tensor_value_info(tensor.name, kind, tensor.shape)
