"""Add ``decoder_attentions.last_row`` to a decoder, and see that nothing else changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript

from carve_export.steps.operators import Op, Value, constant, single
from carve_export.tap.attention import Attention, Once, size_of
from carve_export.tap.check import TapCheck, check_tap
from carve_export.tap.files import external_files, read_graph, require_free, write_graph
from carve_export.tap.lookup import choose_layers, find_attentions
from carve_export.trace.rewrite import ValuesApart
from carve_models import names
from carve_models.errors import ExportError
from carve_models.settings import ALL, All

#: Axes became inputs of the operators that are added.
_OLDEST_OPSET = 13
_SCOPE = "carve_tap"


@dataclass(frozen=True)
class TapOptions:
    """What is asked of a tap."""

    #: Layers whose attention is returned, counted from 0.
    layers: tuple[int, ...] | All = ALL
    #: Replace the file that is there.
    overwrite: bool = False
    #: Do not run the graphs.
    unchecked: bool = False


@dataclass(frozen=True)
class TapReport:
    """What was written."""

    path: Path
    #: In the order of the rows.
    layers: tuple[int, ...]
    #: Of the whole decoder.
    depth: int
    #: How many nodes there were, and how many were added.
    nodes: int
    added: int
    #: The operators that attend, with how many layers they serve.
    operators: Mapping[str, int] = field(default_factory=dict)
    #: ``None`` if it was left out.
    check: TapCheck | None = None


def tap_decoder(decoder: Path, out: Path, options: TapOptions) -> TapReport:
    """Write a decoder with the attention of its last position as a further output.

    Args:
        decoder: the file; weights beside it are not read into memory, unless to run it.
        out: the file to write. Weights beside the decoder are copied beside it, under their names.
        options: which layers, and how.

    Raises:
        ExportError: the file is no decoder that can be tapped, or ``out`` is taken.
        ParityError: the tapped graph does not return what the other does.
    """
    model = read_graph(decoder)
    data = external_files(model)
    require_free(decoder, out, data, overwrite=options.overwrite)
    tapped, report = tap_graph(model, decoder, out, options)
    write_graph(tapped, data, decoder, out)
    return report


def tap_graph(
    model: ir.Model, decoder: Path, out: Path, options: TapOptions
) -> tuple[onnx.ModelProto, TapReport]:
    """Return a decoder with the attention of its last position as a further output.

    Args:
        model: the decoder, which is used up.
        decoder: its file, beside which its weights are.
        out: where it will be written.
        options: which layers, and how.

    Raises:
        ExportError: it is no decoder that can be tapped.
        ParityError: the tapped graph does not return what the other does.
    """
    opset = model.opset_imports.get("", 0)
    if opset < _OLDEST_OPSET:
        raise ExportError(
            f"{decoder} is written in operator set {opset}",
            f"export it with operator set {_OLDEST_OPSET} or later",
        )
    found = find_attentions(model.graph)
    layers = choose_layers(options.layers, found)
    before = len(model.graph)
    chosen = [found[layer] for layer in layers]
    add_rows(model, chosen)
    added = len(model.graph) - before
    tapped = ir.to_proto(model)
    check = None if options.unchecked else check_tap(decoder, model, tapped, chosen)
    operators = Counter(attention.node.op_type for attention in found)
    return tapped, TapReport(out, layers, len(found), before, added, operators, check)


def add_rows(model: ir.Model, attentions: Sequence[Attention]) -> None:
    """Add the output: rows (B, layers, T) float32.

    Args:
        model: the decoder.
        attentions: of its layers, one for each row.
    """
    graph = model.graph
    nodes = set(graph)
    builder = onnxscript.GraphBuilder(graph)
    builder.push_module(_SCOPE)
    op = builder.op
    # ONNX Runtime runs first what is listed last: the first layer's row goes there, so that each
    # is taken when its layer ran, and no layer's scores are kept until the end.
    once = Once()
    rows = [_row(op, attention.scores(op, once)) for attention in reversed(attentions)]
    joined = op.Concat(*reversed(rows), axis=1)
    builder.pop_module()
    for node in set(graph) - nodes:
        node.metadata_props.clear()
    joined.name, joined.dtype = names.LAST_ROW, ir.DataType.FLOAT
    joined.shape = _shape(graph, attentions[0], len(attentions))
    graph.outputs.append(joined)
    ValuesApart()(model)


def _row(op: Op, scores: Value) -> Value:
    """Return the mean over heads of the softmax of scores, (B, Kv, T, G), as (B, 1, T) float32."""
    attention = op.Softmax(scores, axis=2)
    heads = op.Mul(size_of(op, attention, 1), size_of(op, attention, 3))
    total = op.ReduceSum(attention, constant(op, [1, 3], np.int64), keepdims=0)
    return op.Unsqueeze(op.Div(total, single(op, heads)), [1])


def _shape(graph: ir.Graph, attention: Attention, layers: int) -> ir.Shape:
    """Return the output's shape, in the names that the graph's own cache has."""
    past = attention.past.shape
    assert past is not None
    return ir.Shape([past[0], layers, names.TOTAL])
