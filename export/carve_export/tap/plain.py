"""Attention as standard operators: a ``Softmax`` between two products."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from carve_export.steps.operators import Op, Value, single
from carve_export.tap.attention import Once, attribute, cache_input, last_of

_PRODUCTS = {"MatMul", "FusedMatMul"}
#: What may happen to scores in front of the softmax, and to probabilities behind it.
_SHAPING = {"Add", "Sub", "Mul", "Div", "Where", "Cast", "Tanh", "Identity", "Clip", "Max", "Min"}
_KEEPING = {"Cast", "Identity", "Dropout", "Where"}
_RANK = 4


@dataclass(frozen=True)
class Plain:
    """One softmax of the scores of all positions, (B, H, S, T), over the last axis."""

    node: ir.Node
    past: ir.Value
    head_dim: None = None

    @classmethod
    def read(cls, node: ir.Node) -> Plain | None:
        """Return the attention that a softmax belongs to; ``None`` if it belongs to none."""
        scores = node.inputs[0]
        if attribute(node, "axis", -1) not in (-1, _RANK - 1) or not _weighs(node):
            return None
        past = _keys_of(scores)
        return None if past is None else cls(node, past)

    def scores(self, op: Op, once: Once) -> Value:
        """See :class:`carve_export.tap.attention.Attention`; here (B, H, T, 1)."""
        return op.Unsqueeze(single(op, last_of(op, self.node.inputs[0], axis=2)), [3])

    def probe(self) -> ir.Value:
        """See :class:`carve_export.tap.attention.Attention`."""
        return self.node.outputs[0]


def _weighs(softmax: ir.Node) -> bool:
    """Return whether values are weighted with the result."""
    pending = [softmax.outputs[0]]
    while pending:
        value = pending.pop()
        for node, index in value.uses():
            if node.op_type in _PRODUCTS and index == 0:
                return True
            if node.op_type in _KEEPING:
                pending.append(node.outputs[0])
    return False


def _keys_of(scores: ir.Value | None) -> ir.Value | None:
    """Return the past keys that scores are made from."""
    pending: list[ir.Value | None] = [scores]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        node = value.producer() if value is not None else None
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.op_type in _PRODUCTS:
            found = [past for past in map(cache_input, node.inputs) if past is not None]
            if found:
                return found[0]
        elif node.op_type in _SHAPING:
            pending.extend(node.inputs)
    return None
