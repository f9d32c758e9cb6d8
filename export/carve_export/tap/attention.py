"""What the operators that attend have in common: their caches, their options, their products."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant, single
from carve_models.errors import ExportError

#: Operators that move or repeat keys, or scale them; only their first input is keys, but for these.
_MOVING = {"Transpose", "Reshape", "Expand", "Unsqueeze", "Squeeze", "Identity", "Cast", "Tile"}
_JOINING = {"Concat", "Mul"}
#: (B, Kv, P, D).
_CACHE_RANK = 4


class Once:
    """Adds what the rows of several layers need once, and for the first of them."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Value] = {}

    def __call__(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what was made under a key, or make it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


class Attention(Protocol):
    """The attention of one layer, as some operator computes it."""

    @property
    def node(self) -> ir.Node:
        """The operator."""
        ...

    @property
    def past(self) -> ir.Value:
        """The input of the graph that holds the past keys."""
        ...

    @property
    def head_dim(self) -> int | None:
        """Size of a head, where the graph says it."""
        ...

    def scores(self, op: Op, once: Once) -> Value:
        """Add what the last position's query scores each key, masked.

        Args:
            op: the operators.
            once: for what other layers need too.

        Returns:
            (B, Kv, T, G) float32, where ``Kv * G`` is the number of heads.
        """
        ...

    def probe(self) -> ir.Value | None:
        """Let the operator return its own attention, (B, Hq, S, T); ``None`` if it cannot."""
        ...


def cache_input(keys: ir.Value | None) -> ir.Value | None:
    """Return the input of the graph that keys come from, past moves; ``None`` if there is none."""
    pending: list[ir.Value | None] = [keys]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        if value is None or id(value) in seen:
            continue
        seen.add(id(value))
        if value.is_graph_input():
            if value.shape is not None and value.shape.rank() == _CACHE_RANK:
                return value
            continue
        node = value.producer()
        if node is not None and node.op_type in _MOVING:
            pending.append(node.inputs[0])
        elif node is not None and node.op_type in _JOINING:
            pending.extend(node.inputs)
    return None


def given(node: ir.Node, index: int) -> ir.Value | None:
    """Return an optional input, ``None`` where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def result(node: ir.Node, index: int) -> ir.Value | None:
    """Return an optional output, ``None`` where it is left out."""
    value = node.outputs[index] if index < len(node.outputs) else None
    return value if value is not None and value.name else None


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Return an attribute's value, or the operator's default."""
    entry = node.attributes.get(name)
    return default if entry is None else entry.value


def require_usual(
    node: ir.Node, unread: Mapping[str, int], fixed: Mapping[str, Iterable[Any]]
) -> None:
    """Refuse what would change the attention and is not followed here.

    Args:
        node: the operator.
        unread: optional inputs by name, and which they are.
        fixed: attributes, and the values that are followed; the first is the default.

    Raises:
        ExportError: with the names of those.
    """
    used = [name for name, index in unread.items() if given(node, index) is not None]
    for name, values in fixed.items():
        default, *others = values
        value = attribute(node, name, default)
        if value not in (default, *others):
            used.append(f"{name}={value}")
    if used:
        raise ExportError(
            f"{node.op_type} {node.name} uses {', '.join(used)}, which the tap does not follow",
            "export the model without, or with carve-export from its checkpoint",
        )


def refuse(node: ir.Node, lacking: str) -> ExportError:
    """Return the error of an operator whose graph does not say enough."""
    return ExportError(
        f"{node.op_type} {node.name} has no {lacking}",
        "export the decoder with a cache of past keys and values (with-past)",
    )


def head_size(node: ir.Node, past: ir.Value, heads: int) -> int:
    """Return the size of a head from the shape of the cache or else of the output."""
    result_shape = node.outputs[0].shape
    width = past.shape[-1] if past.shape is not None else None
    if isinstance(width, int):
        return width
    total = result_shape[-1] if result_shape is not None else None
    if isinstance(total, int):
        return total // heads
    raise ExportError(
        f"the graph does not say how large a head of {node.op_type} {node.name} is",
        "write its shapes with onnx.shape_inference first",
    )


def product(op: Op, keys: Value, query: Value, scale: float, dtype: ir.DataType) -> Value:
    """Return what one query scores each key, (B, Kv, T, G) float32.

    The product is taken as ``K q``, as :func:`carve_export.trace.attention.last_row` does: the
    cache is never transposed, and nothing larger than heads x T arises.

    Args:
        op: the operators.
        keys: (B, Kv, T, D).
        query: (B, Kv, G, D).
        scale: of the product.
        dtype: of both.
    """
    scaled = op.Mul(query, constant(op, scale, dtype.numpy()))
    return single(op, op.MatMul(keys, op.Transpose(scaled, perm=[0, 1, 3, 2])))


def capped(op: Op, scores: Value, softcap: float) -> Value:
    """Return scores bent to stay within ``softcap``; as they are if it is 0."""
    if not softcap:
        return scores
    cap = constant(op, softcap, np.float32)
    return op.Mul(op.Tanh(op.Div(scores, cap)), cap)


def last_of(op: Op, states: Value, axis: int) -> Value:
    """Return the last of the states along an axis, which is dropped."""
    return op.Gather(states, constant(op, -1, np.int64), axis=axis)


def sizes(op: Op, *numbers: int) -> Value:
    """Return a shape; 0 keeps a size, -1 is what is left."""
    return constant(op, numbers, np.int64)


def size_of(op: Op, value: Value, axis: int) -> Value:
    """Return a value's size along an axis, (1,) int64."""
    return op.Gather(op.Shape(value), constant(op, [axis], np.int64), axis=0)
