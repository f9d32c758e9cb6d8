"""Trace a module with ``torch.onnx.export`` and write it as ONNX.

The trace refers to the module's own weights and holds no copy of them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import torch

from carve_export.onnx_files import EXTERNAL_DATA_ABOVE, save_model
from carve_export.trace.storage import store_as_multiplied
from carve_export.trace.traceable import Traceable
from carve_models.errors import CarveError, ExportError, first_line
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.names import graph_file


def trace_graph(
    traceable: Traceable, folder: Path, *, opset: int, external_above: int = EXTERNAL_DATA_ABOVE
) -> GraphSpec:
    """Trace a graph and write it under ``folder``.

    Args:
        traceable: what to trace.
        folder: the bundle's folder; the file's place in it follows from the graph's name.
        opset: ONNX operator set.
        external_above: see :func:`carve_export.onnx_files.save_model`.

    Returns:
        the graph's entry for the manifest.
    """
    path = folder / graph_file(traceable.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = _trace(traceable, opset)
    _require_opset(model, opset)
    _strip_traces(model)
    _keep_inside(model, traceable.inner)
    _put_weights_first(model.graph)
    save_model(model, path, external_above)
    return graph_entry(folder, traceable.name)


def _trace(traceable: Traceable, opset: int) -> ir.Model:
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                traceable.module.eval(),
                traceable.example,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=traceable.dynamic_shapes,
                input_names=traceable.inputs,
                output_names=traceable.outputs + traceable.inner,
                verbose=False,
                optimize=False,
            )
            assert program is not None  # dynamo=True always returns a program
            store_as_multiplied(program.model)
            program.optimize()
            if traceable.rewriting is not None:
                traceable.rewriting(program.model)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:  # the exporter wraps what our attention function refuses
            if isinstance(cause, CarveError):
                raise cause from None
            cause = cause.__cause__
        raise ExportError(
            f"torch.onnx.export cannot trace {traceable.name}: {first_line(error)}",
            "report the checkpoint's architecture with the versions of torch and transformers",
        ) from error
    return program.model


def _require_opset(model: ir.Model, opset: int) -> None:
    actual = model.opset_imports[""]
    if actual != opset:
        raise ExportError(
            f"torch.onnx.export wrote operator set {actual} instead of {opset}",
            "choose another --opset",
        )


def _strip_traces(model: ir.Model) -> None:
    """Drop the exporter's stack traces: they name folders of this machine and double the graph."""
    graph = model.graph
    nodes = list(graph.all_nodes())
    results = [value for node in nodes for value in node.outputs]
    for owner in (model, graph, *nodes, *results, *graph.inputs, *graph.initializers.values()):
        owner.metadata_props.clear()
        owner.doc_string = None


def _keep_inside(model: ir.Model, inner: list[str]) -> None:
    """Make inner results ordinary tensors of the graph; they keep their names."""
    outputs = [value for value in model.graph.outputs if value.name not in inner]
    model.graph.outputs[:] = outputs


def _put_weights_first(graph: ir.Graph) -> None:
    """Move nodes that depend on weights alone, such as their widening, to the front of the list.

    ONNX Runtime orders nodes from the outputs backwards, and of a node's inputs it runs first the
    one that is listed last: each weight is then widened directly before its use, not all at once.
    """
    known = set(graph.initializers.values())
    alone = []
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        if inputs and known.issuperset(inputs):
            known.update(node.outputs)
            alone.append(node)
    graph.remove(alone)
    if alone:
        graph.insert_before(graph[0], alone)


def graph_entry(folder: Path, name: str) -> GraphSpec:
    """Read a written graph's interface."""
    file = graph_file(name)
    graph = onnx.load(folder / file, load_external_data=False).graph
    return GraphSpec(
        file=file,
        inputs=tuple(_tensor(value) for value in graph.input),
        outputs=tuple(_tensor(value) for value in graph.output),
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return Tensor(name=value.name, dtype=dtype, shape=shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter logs about its internals and about torchvision, not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
