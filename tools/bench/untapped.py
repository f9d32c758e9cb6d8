"""The decoder without its tap, or with less of it: the same graph, but for what only that needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from carve_export.trace.split import nodes_between
from carve_models import names
from tools.bench.subjects import Subject

_LAYERS = 1  # axis of the tap's rows


def decoder_file(subject: Subject) -> Path:
    """Return the file of a bundle's whole decoder."""
    return subject.bundle / names.graph_file(names.DECODER)


def untapped_file(subject: Subject, work: Path) -> Path:
    """Write the decoder without ``last_row`` and what only it needs; return the file."""
    target = work / f"{subject.bundle.name}-untapped.onnx"
    source = decoder_file(subject)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        model = onnx.load(source)
        keep_rows(model.graph, ())
        onnx.save(model, target)
    return target


def keep_rows(graph: onnx.GraphProto, rows: Sequence[int]) -> None:
    """Leave some of the tap's rows, or none, and what they need.

    Args:
        graph: a whole decoder.
        rows: which of its tapped layers, as numbers of the rows.
    """
    if rows:
        stack = next(node for node in graph.node if names.LAST_ROW in node.output)
        stack.input[:] = [stack.input[row] for row in rows]
        (tap,) = (value for value in graph.output if value.name == names.LAST_ROW)
        tap.type.tensor_type.shape.dim[_LAYERS].dim_value = len(rows)
    kept = [value for value in graph.output if rows or value.name != names.LAST_ROW]
    del graph.output[:]
    graph.output.extend(kept)
    # ONNX Runtime keeps nodes that lead to no output.
    inputs = {value.name for value in graph.input}
    nodes = nodes_between(graph, inputs, [value.name for value in kept])
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)
