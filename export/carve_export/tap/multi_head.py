"""``com.microsoft.MultiHeadAttention``: the mask is a term, the cache inside or in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import onnx_ir as ir

from carve_export.steps.operators import Op, Value, single
from carve_export.tap.attention import (
    Once,
    attribute,
    cache_input,
    given,
    head_size,
    last_of,
    product,
    refuse,
    require_usual,
    result,
    sizes,
)

_QUERY, _KEY, _BIAS, _PAST = 0, 1, 5, 6
_PRESENT = 1
_FLAT, _BY_HEADS = 3, 4  # ranks of keys
_UNREAD = {"bias": 3, "key_padding_mask": 4, "past_sequence_length": 8, "cache_indirection": 9}
_FIXED: Mapping[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class MultiHead:
    """One such operator, with as many heads of keys as of queries."""

    node: ir.Node
    past: ir.Value
    keys: ir.Value
    head_dim: int

    @classmethod
    def read(cls, node: ir.Node) -> MultiHead:
        """Return the operator's attention.

        Raises:
            ExportError: it has no cache, or options that are not followed.
        """
        require_usual(node, _UNREAD, _FIXED)
        inside = given(node, _PAST)
        keys = result(node, _PRESENT) if inside is not None else given(node, _KEY)
        past = cache_input(inside if inside is not None else keys)
        if keys is None or past is None:
            raise refuse(node, "cache of keys among the graph's inputs and outputs")
        if keys.shape is None or keys.shape.rank() not in (_FLAT, _BY_HEADS):
            raise refuse(node, "shape of its keys")
        heads = node.attributes["num_heads"].as_int()
        return cls(node, past, keys, head_size(node, past, heads))

    def scores(self, op: Op, once: Once) -> Value:
        """See :class:`carve_export.tap.attention.Attention`."""
        heads = self.node.attributes["num_heads"].as_int()
        last = last_of(op, self.node.inputs[_QUERY], axis=1)  # (B, Hq * D)
        query = op.Reshape(last, sizes(op, 0, heads, 1, self.head_dim))
        scale = attribute(self.node, "scale", 0.0) or 1 / sqrt(self.head_dim)
        assert self.past.dtype is not None
        scores = product(op, self._keys(op, heads), query, scale, self.past.dtype)
        bias = given(self.node, _BIAS)
        if bias is None:
            return scores

        def last_bias() -> Value:
            return op.Unsqueeze(single(op, last_of(op, bias, axis=2)), [3])

        return op.Add(scores, once(bias, last_bias))

    def probe(self) -> None:
        """See :class:`carve_export.tap.attention.Attention`."""

    def _keys(self, op: Op, heads: int) -> Value:
        """Return the keys as (B, Hq, T, D)."""
        assert self.keys.shape is not None
        if self.keys.shape.rank() == _BY_HEADS:
            return self.keys
        apart = op.Reshape(self.keys, sizes(op, 0, 0, heads, self.head_dim))
        return op.Transpose(apart, perm=[0, 2, 1, 3])
