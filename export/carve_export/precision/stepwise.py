"""Run a graph a few nodes at a time: what goes into its products, without all of it in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, helper

from carve_export.precision.calibration import Feeds
from carve_export.trace.split import nodes_between

_ERRORS_ONLY = 3
#: The provider that computes alike on every machine.
_PROVIDER = "CPUExecutionProvider"
#: Where weights lie that a graph without a file of its own refers to.
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def tensors(
    model: onnx.ModelProto, folder: Path, wanted: Sequence[str], feeds: Feeds
) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Yield tensors of a graph by name, each of all runs.

    In memory are the weights between one tensor and the next, and of all runs only what later nodes
    read.

    Args:
        model: the graph, its weights not loaded necessarily.
        folder: where its weights lie if they do not lie in the graph.
        wanted: names of tensors, inputs of the graph too, in the graph's order.
        feeds: recorded inputs of the graph.
    """
    graph = model.graph
    fixed = _results_of_weights(graph)
    left = [node for node in nodes_between(graph, (), wanted) if node.output[0] not in fixed]
    states = [dict(run) for run in feeds]
    for place, name in enumerate(wanted):
        later = {*wanted[place + 1 :]}
        if name not in states[0]:
            nodes = nodes_between(graph, states[0], [name])
            done = {node.output[0] for node in nodes}
            left = [node for node in left if node.output[0] not in done]
            later |= _read(left)
            made = {result for node in nodes for result in node.output} - fixed
            session = _session(model, folder, nodes, states[0], {name, *(made & later)})
            fed = [value.name for value in session.get_inputs()]
            results = [value.name for value in session.get_outputs()]
            for state in states:
                arrays = session.run(results, {key: state[key] for key in fed})
                state.update(zip(results, arrays, strict=True))
        else:
            later |= _read(left)
        yield name, [state[name] for state in states]
        states = [{key: state[key] for key in state if key in later} for state in states]


def _read(nodes: Iterable[NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _results_of_weights(graph: onnx.GraphProto) -> set[str]:
    """Return the results that depend on weights alone; they are computed anew where they serve."""
    known = {"", *(tensor.name for tensor in graph.initializer)}
    fixed: set[str] = set()
    for node in graph.node:
        if known.issuperset(node.input):
            known.update(node.output)
            fixed.update(node.output)
    return fixed


def _session(
    model: onnx.ModelProto,
    folder: Path,
    nodes: list[NodeProto],
    state: dict[str, NDArray[Any]],
    results: Collection[str],
) -> onnxruntime.InferenceSession:
    """Load nodes of a graph as a graph of its own."""
    read = _read(nodes)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
        )
        for name, array in state.items()
        if name in read
    ]
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    part.graph.CopyFrom(
        helper.make_graph(
            nodes,
            "part",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in sorted(results)],
            [tensor for tensor in model.graph.initializer if tensor.name in read],
        )
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder))
    return onnxruntime.InferenceSession(part.SerializeToString(), options, providers=[_PROVIDER])
