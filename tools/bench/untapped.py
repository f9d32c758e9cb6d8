"""The decoder without its tap: the same graph, one output less."""

from __future__ import annotations

from pathlib import Path

import onnx

from carve_export.trace.split import nodes_between
from carve_models import names
from tools.bench.subjects import Subject


def decoder_file(subject: Subject) -> Path:
    """Return the file of a bundle's whole decoder."""
    return subject.bundle / names.graph_file(names.DECODER)


def untapped_file(subject: Subject, work: Path) -> Path:
    """Write the decoder without ``last_row`` and what only it needs; return the file."""
    target = work / f"{subject.bundle.name}-untapped.onnx"
    source = decoder_file(subject)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        model = onnx.load(source)
        kept = [value for value in model.graph.output if value.name != names.LAST_ROW]
        del model.graph.output[:]
        model.graph.output.extend(kept)
        # ONNX Runtime keeps nodes that lead to no output.
        inputs = {value.name for value in model.graph.input}
        nodes = nodes_between(model.graph, inputs, [value.name for value in kept])
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(weights)
        onnx.save(model, target)
    return target
