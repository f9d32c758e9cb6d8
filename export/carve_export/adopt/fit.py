"""Bring a graph that others exported to the interface that a bundle's has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import onnxscript
from onnx_ir.convenience import replace_all_uses_with

from carve_export.adopt.last_position import keep_last
from carve_export.steps.operators import Op, Value, constant
from carve_export.tap.attention import size_of
from carve_models import names
from carve_models.errors import ExportError
from carve_models.graph_spec import GraphSpec, Tensor

#: How many logits a decoder returns, which transformers.js asks some for.
LOGITS_KEPT = "num_logits_to_keep"
PIXEL_MASK = "pixel_attention_mask"
#: Inputs that a graph may lack: it counts positions from the mask.
_COUNTED = {names.POSITION_IDS}
#: Inputs that some exporters give one more axis in front: of the prompt that images belong to.
_NESTED = {names.PIXEL_VALUES}
_SCOPE = "carve_fit"
#: What numbers may be cast between: no value of the narrower is lost that matters here.
_KINDS: tuple[set[ir.DataType], ...] = (
    {ir.DataType.FLOAT, ir.DataType.FLOAT16},
    {ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL},
)


def _every_pixel(op: Op, own: ir.Value, inputs: Mapping[str, ir.Value]) -> Value:
    """Return the mask of images without padding, (1, views, h, w)."""
    pixels = inputs[names.PIXEL_VALUES]
    shape = op.Concat(
        constant(op, [1], np.int64), *[size_of(op, pixels, axis) for axis in (0, 2, 3)], axis=0
    )
    assert own.dtype is not None
    return op.ConstantOfShape(shape, value=ir.tensor(np.ones(1, own.dtype.numpy())))


def _one(op: Op, own: ir.Value, inputs: Mapping[str, ir.Value]) -> Value:
    assert own.dtype is not None
    return constant(op, 1, own.dtype.numpy())


_Maker: TypeAlias = Callable[[Op, ir.Value, Mapping[str, ir.Value]], Value]
#: Inputs that a bundle's graphs do not have, and what is given for them.
_MADE: Mapping[str, tuple[_Maker, str]] = {
    PIXEL_MASK: (_every_pixel, "every pixel, for views are whole"),
    LOGITS_KEPT: (_one, "1"),
}


def fit_graph(model: ir.Model, name: str, spec: GraphSpec) -> list[str]:
    """Change a graph so that it takes and returns what a bundle's graph does.

    Args:
        model: the graph.
        name: what it is called in errors.
        spec: the bundle's interface.

    Returns:
        what was changed, a phrase for each input or output.

    Raises:
        ExportError: an input or output that is missing, unknown or of another size.
    """
    fitting = _Fitting(model.graph, name)
    fitting.fit_outputs(spec)
    fitting.fit_inputs(spec)
    return fitting.changes


class _Fitting:
    """One graph, while its inputs and outputs are replaced."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self.changes: list[str] = []
        self._graph = graph
        self._name = name
        builder = onnxscript.GraphBuilder(graph)
        builder.push_module(_SCOPE)
        self._op: Op = builder.op

    def fit_inputs(self, spec: GraphSpec) -> None:
        """Replace the inputs by the bundle's; what is made of them comes first."""
        own = {str(value.name): value for value in self._graph.inputs}
        inputs = {tensor.name: _value(tensor) for tensor in spec.inputs}
        self._graph.inputs[:] = inputs.values()
        nodes = set(self._graph)
        for tensor in spec.inputs:
            taken = own.pop(tensor.name, None)
            if taken is not None:
                self._give(taken, self._as_taken(inputs[tensor.name], taken, tensor))
            elif tensor.name in _COUNTED:
                self.changes.append(f"{tensor.name}: counted by the graph itself")
            else:
                raise self._lacking("input", tensor.name)
        for name, taken in own.items():
            if name not in _MADE:
                raise ExportError(
                    f"the {self._name} takes {name}, and what to give it is not known here",
                    "export the model's checkpoint with carve-export",
                )
            make, what = _MADE[name]
            self.changes.append(f"{name}: {what}")
            self._give(taken, make(self._op, taken, inputs))
        added = [node for node in self._graph if node not in nodes]
        self._graph.remove(added)
        if added:
            self._graph.insert_before(self._graph[0], added)

    def fit_outputs(self, spec: GraphSpec) -> None:
        """Replace the outputs by the bundle's."""
        own = {str(value.name): value for value in self._graph.outputs}
        outputs = []
        for tensor in spec.outputs:
            if tensor.name not in own:
                raise self._lacking("output", tensor.name)
            outputs.append(self._as_returned(own[tensor.name], tensor))
        self._graph.outputs[:] = outputs

    def _as_taken(self, value: ir.Value, own: ir.Value, tensor: Tensor) -> Value:
        """Return a bundle's input as the graph takes it."""
        self._require_kind(own, tensor)
        result: Value = value
        if own.dtype != value.dtype:
            self.changes.append(f"{tensor.name}: from {tensor.dtype}")
            result = self._op.Cast(result, to=own.dtype)
        sizes = tensor.shape
        if tensor.name in _NESTED and own.shape and own.shape.rank() == len(sizes) + 1:
            self.changes.append(f"{tensor.name}: one axis more")
            result = self._op.Unsqueeze(result, constant(self._op, [0], np.int64))
            sizes = (1, *sizes)
        self._require_sizes(own, tensor.name, sizes)
        return result

    def _as_returned(self, own: ir.Value, tensor: Tensor) -> ir.Value:
        """Return a graph's output as a bundle returns it, under its name."""
        self._require_kind(own, tensor)
        result = own
        if tensor.name == names.LOGITS and not self._keeps_one():
            last = keep_last(self._op, self._graph, own)
            if last is not None:
                self.changes.append(f"{tensor.name}: of the last position")
                result = last
        elif tensor.name == names.IMAGE_FEATURES:
            result = self._by_images(own, tensor)
        else:
            self._require_sizes(own, tensor.name, tensor.shape)
        if own.dtype != ir.DataType.from_numpy(np.dtype(tensor.dtype)):
            self.changes.append(f"{tensor.name}: to {tensor.dtype}")
            result = self._op.Cast(result, to=ir.DataType.from_numpy(np.dtype(tensor.dtype)))
        if result is not own:
            own.name = f"{tensor.name}.own"
        described = _value(tensor)
        result.name, result.type, result.shape = described.name, described.type, described.shape
        return result

    def _by_images(self, own: ir.Value, tensor: Tensor) -> ir.Value:
        """Return image features in as many axes as a bundle has."""
        if own.shape is not None and own.shape.rank() == len(tensor.shape):
            self._require_sizes(own, tensor.name, tensor.shape)
            return own
        self.changes.append(f"{tensor.name}: {len(tensor.shape)} axes")
        sizes = [size if isinstance(size, int) else -1 for size in tensor.shape]
        return self._op.Reshape(own, constant(self._op, sizes, np.int64))

    def _keeps_one(self) -> bool:
        return any(value.name == LOGITS_KEPT for value in self._graph.inputs)

    def _give(self, taken: ir.Value, result: Value) -> None:
        taken.name = f"{taken.name}.taken"
        replace_all_uses_with(taken, result)

    def _lacking(self, kind: str, name: str) -> ExportError:
        return ExportError(
            f"the {self._name} has no {kind} {name}",
            "give the graphs of one model, or export its checkpoint with carve-export",
        )

    def _require_kind(self, own: ir.Value, tensor: Tensor) -> None:
        """Refuse types that no cast should bridge."""
        wanted = ir.DataType.from_numpy(np.dtype(tensor.dtype))
        if own.dtype != wanted and not any({own.dtype, wanted} <= kind for kind in _KINDS):
            raise ExportError(
                f"{tensor.name} of the {self._name} is {own.dtype}, expected {tensor.dtype}",
                "export the model's checkpoint with carve-export",
            )

    def _require_sizes(self, own: ir.Value, name: str, sizes: tuple[int | str, ...]) -> None:
        """Refuse a size that is fixed on both sides and differs, or another number of axes."""
        if own.shape is None:
            return
        for has, wants in zip_longest(own.shape, sizes):
            fixed = isinstance(has, int) and isinstance(wants, int)
            if has is None or wants is None or (fixed and has != wants):
                raise ExportError(
                    f"{name} of the {self._name} is {own.shape}, and the folder's configurations "
                    f"say {list(sizes)}",
                    "give the graphs and the configurations of one model",
                )


def _value(tensor: Tensor) -> ir.Value:
    """Return an input or output as a bundle has it."""
    dtype = ir.DataType.from_numpy(np.dtype(tensor.dtype))
    return ir.Value(name=tensor.name, type=ir.TensorType(dtype), shape=ir.Shape(tensor.shape))
