"""Find the attention of each layer of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from carve_export.tap.attention import Attention
from carve_export.tap.group_query import GroupQuery
from carve_export.tap.multi_head import MultiHead
from carve_export.tap.plain import Plain
from carve_models import names
from carve_models.errors import ExportError
from carve_models.settings import ALL, All

_DOMAIN = "com.microsoft"
_READERS: Mapping[tuple[str, str], Callable[[ir.Node], Attention | None]] = {
    (_DOMAIN, "GroupQueryAttention"): GroupQuery.read,
    (_DOMAIN, "MultiHeadAttention"): MultiHead.read,
    ("", "Softmax"): Plain.read,
}
_SUFFIX = "Attention"
#: What exporters put into the name of an input that holds past keys.
_CACHE, _KEY = "past_key_values", "key"
_CACHE_RANK = 4


def find_attentions(graph: ir.Graph) -> list[Attention]:
    """Return the attention of each layer, first to last.

    Raises:
        ExportError: the graph is no decoder with a cache, is tapped already, or attends in a way
            that is not followed.
    """
    tensors = {value.name for value in graph.outputs}
    if names.LAST_ROW in tensors:
        raise ExportError(f"the graph has {names.LAST_ROW} already", "use it as it is")
    if names.LOGITS not in tensors:
        raise ExportError(
            f"the graph is no decoder: its outputs are {_listed(sorted(map(str, tensors)))}",
            f"give the graph whose outputs are {names.LOGITS} and a cache",
        )
    found = [attention for node in graph if (attention := _read(node)) is not None]
    _require_all(graph, found)
    return found


def _read(node: ir.Node) -> Attention | None:
    reader = _READERS.get((node.domain, node.op_type))
    if reader is not None:
        return reader(node)
    if node.op_type.endswith(_SUFFIX):
        known = sorted(name for _, name in _READERS)
        raise ExportError(
            f"{node.name} is a {node.op_type}, which the tap does not follow",
            f"export the model with one of {', '.join(known)}",
        )
    return None


def _require_all(graph: ir.Graph, found: Sequence[Attention]) -> None:
    """Refuse a decoder in which some layers attend in a way that was not seen."""
    caches = [
        value
        for value in graph.inputs
        if _KEY in (value.name or "").replace(_CACHE, "")
        and value.shape is not None
        and value.shape.rank() == _CACHE_RANK
    ]
    if found and len(found) == len(caches):
        return
    branches = [node.name for node in graph if node.op_type == "If"]
    inside = f"; parts of it are in the branches of {_listed(branches)}" if branches else ""
    raise ExportError(
        f"the attention of {len(found)} layers was found, and a cache of keys for "
        f"{len(caches)}{inside}",
        "export the decoder as one graph that takes and returns its cache, without branches",
    )


def choose_layers(layers: tuple[int, ...] | All, found: Sequence[Attention]) -> tuple[int, ...]:
    """Return the layers to tap, in rising order.

    Raises:
        ExportError: the decoder does not have one of them.
    """
    if layers == ALL:
        return tuple(range(len(found)))
    beyond = [layer for layer in layers if not 0 <= layer < len(found)]
    if beyond:
        raise ExportError(
            f"layers {_listed(beyond)} were asked for, and the decoder has {len(found)}",
            f"choose from 0 to {len(found) - 1}",
        )
    return tuple(sorted(set(layers)))


def _listed(entries: Sequence[object]) -> str:
    return ", ".join(map(str, entries)) or "none"
