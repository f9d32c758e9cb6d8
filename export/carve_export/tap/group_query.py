"""``com.microsoft.GroupQueryAttention``: keys are in its output, padded behind each sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant, count_up, whole
from carve_export.tap.attention import (
    Once,
    attribute,
    cache_input,
    capped,
    given,
    head_size,
    product,
    refuse,
    require_usual,
    result,
    size_of,
    sizes,
)

_DOMAIN = "com.microsoft"
_QUERY, _KEY, _PAST, _LAST, _TOTAL, _COS, _SIN = 0, 1, 3, 5, 6, 7, 8
_PRESENT, _OWN = 1, 3
_UNREAD = {
    "position_ids": 9,
    "attention_bias": 10,
    "head_sink": 11,
    "k_scale": 12,
    "q_norm_weight": 14,
    "query_seqlens": 16,
}
#: -1 is a flag that is not set, as ONNX Runtime reads it.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "smooth_softmax": (0, -1),
    "sliding_window_cache": (0,),
    "causal": (1,),
    "kv_cache_bit_width": (0,),
}
_AFTER_SOFTMAX = 2  # of ``qk_output``


@dataclass(frozen=True)
class GroupQuery:
    """One such operator; the query may be packed with key and value, and not be rotated yet."""

    node: ir.Node
    past: ir.Value
    present: ir.Value
    head_dim: int

    @classmethod
    def read(cls, node: ir.Node) -> GroupQuery:
        """Return the operator's attention.

        Raises:
            ExportError: it has no cache, or options that are not followed.
        """
        require_usual(node, _UNREAD, _FIXED)
        past, present = cache_input(given(node, _PAST)), result(node, _PRESENT)
        if past is None or present is None:
            raise refuse(node, "cache of keys among the graph's inputs and outputs")
        heads = node.attributes["num_heads"].as_int()
        return cls(node, past, present, head_size(node, past, heads))

    def scores(self, op: Op, once: Once) -> Value:
        """See :class:`carve_export.tap.attention.Attention`."""
        kv_heads = self.node.attributes["kv_num_heads"].as_int()
        counted, total = self.node.inputs[_LAST], self.node.inputs[_TOTAL]
        states, window = self.node.inputs[_QUERY], attribute(self.node, "local_window_size", -1)
        last = once(counted, lambda: op.Unsqueeze(whole(op, counted), [1]))  # (B, 1)
        index = once((counted, total), lambda: _index(op, states, last, total))
        visible = once((counted, window), lambda: _visible(op, self.present, last, window))
        query = op.Reshape(self._query(op, index, last), sizes(op, 0, kv_heads, -1, self.head_dim))
        scale = attribute(self.node, "scale", 0.0) or 1 / sqrt(self.head_dim)
        assert self.past.dtype is not None
        scores = product(op, self.present, query, scale, self.past.dtype)
        scores = capped(op, scores, attribute(self.node, "softcap", 0.0))
        return op.Where(visible, scores, constant(op, -np.inf, np.float32))

    def probe(self) -> ir.Value:
        """See :class:`carve_export.tap.attention.Attention`."""
        self.node.attributes["qk_output"] = ir.AttrInt64("qk_output", _AFTER_SOFTMAX)
        self.node.resize_outputs(_OWN + 1)
        return self.node.outputs[_OWN]

    def _query(self, op: Op, index: Value, last: Value) -> Value:
        """Return the last position's query, (B, Hq, 1, D), rotated."""
        heads = self.node.attributes["num_heads"].as_int()
        chosen = op.GatherND(self.node.inputs[_QUERY], index, batch_dims=1)
        query = op.Reshape(chosen, sizes(op, 0, -1, 1, self.head_dim))
        if given(self.node, _KEY) is None:  # packed: queries, then keys and values
            query = op.Slice(query, [0], [heads], [1])
        if attribute(self.node, "do_rotary", 0):
            query = self._rotated(op, query, last)
        return query

    def _rotated(self, op: Op, query: Value, last: Value) -> Value:
        cos, sin = self.node.inputs[_COS], self.node.inputs[_SIN]
        assert cos is not None
        half = cos.shape[-1] if cos.shape is not None else None
        options = {}
        if isinstance(half, int) and 2 * half < self.head_dim:  # the rest stays as it is
            heads = self.node.attributes["num_heads"].as_int()
            options = {"rotary_embedding_dim": 2 * half, "num_heads": heads}
        return op.RotaryEmbedding(
            query,
            last,
            cos,
            sin,
            interleaved=attribute(self.node, "rotary_interleaved", 0),
            _domain=_DOMAIN,
            **options,
        )


def _index(op: Op, states: Value, last: Value, total: Value) -> Value:
    """Return where the last position is among the new ones, (B, 1).

    A prompt that is shorter than others of the batch is padded behind.
    """
    length = size_of(op, states, axis=1)
    behind = op.Expand(op.Sub(length, constant(op, 1, np.int64)), op.Shape(last))
    return op.Where(op.Equal(whole(op, total), length), last, behind)


def _visible(op: Op, keys: Value, last: Value, window: int) -> Value:
    """Return which keys the query sees, (B, 1, T, 1): none behind it, and few before it."""
    count = op.Squeeze(size_of(op, keys, axis=2), [0])
    places = count_up(op, count)
    visible = op.LessOrEqual(places, last)
    if window > 0:
        first = op.Sub(last, constant(op, window, np.int64))
        visible = op.And(visible, op.Greater(places, first))
    return op.Unsqueeze(visible, [1, 3])
