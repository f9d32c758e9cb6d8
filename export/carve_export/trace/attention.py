"""One attention function for every Hugging Face text model, with two lowerings.

transformers calls a registered attention function in place of its own. Ours reads the layer's past
keys and values, attends, and records the new cache and, in tapped layers, the attention's last row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from carve_models.errors import CheckpointError
from carve_models.manifest import AttentionRows, Profile

ATTENTION_NAME = "carve"

#: What transformers passes along that does not change a causal forward call. A sliding window is
#: as long as the context, see :mod:`carve_export.checkpoint.load`.
_HARMLESS = {
    "dropout",
    "is_causal",
    "position_ids",
    "use_cache",
    "sliding_window",
    "cache_position",
}

#: Keys and values of one layer, each (B, Kv, T, D).
KeyValue = tuple[Tensor, Tensor]


class KeyMask:
    """Which of the ``T = P + S`` keys each of the ``S`` queries may see."""

    def __init__(self, attention_mask: Tensor, queries: int | torch.SymInt) -> None:
        self.attention_mask = attention_mask
        self.queries = queries

    @cached_property
    def causal(self) -> Tensor:
        """(B, 1, S, T) bool."""
        total = self.attention_mask.shape[1]
        last_visible = torch.arange(self.queries)[:, None] + (total - self.queries)
        visible = torch.arange(total)[None, :] <= last_visible
        return visible[None, None] & self.last_row[:, None, None, :]

    @cached_property
    def last_row(self) -> Tensor:
        """(B, T) bool, what the last query sees."""
        return self.attention_mask.bool()

    @cached_property
    def last_index(self) -> Tensor:
        """(B,) int32, index of the last key of each sequence."""
        return (self.attention_mask.sum(dim=1) - 1).to(torch.int32)

    @cached_property
    def total(self) -> Tensor:
        """() int32, ``T``."""
        return torch.scalar_tensor(self.attention_mask.shape[1], dtype=torch.int32)


@dataclass(frozen=True)
class LayerInput:
    """Arguments of one layer's attention: query (B, Hq, S, D), key and value (B, Kv, S, D)."""

    query: Tensor
    key: Tensor
    value: Tensor
    past: KeyValue
    mask: KeyMask
    scale: float


def attend_ort(layer: LayerInput) -> tuple[Tensor, KeyValue]:
    """Lower to ONNX Runtime's contrib operator GroupQueryAttention.

    Returns:
        output (B, S, Hq, D) and the cache including the new positions.
    """
    batch, heads, length, width = layer.query.shape
    kv_heads, total = layer.key.shape[1], layer.mask.attention_mask.shape[1]
    flat = [
        states.transpose(1, 2).reshape(batch, length, -1)
        for states in (layer.query, layer.key, layer.value)
    ]
    cache_shape = (batch, kv_heads, total, width)
    output, key, value = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        (*flat, *layer.past, layer.mask.last_index, layer.mask.total),
        attrs={"num_heads": heads, "kv_num_heads": kv_heads, "scale": layer.scale},
        dtypes=(layer.query.dtype,) * 3,
        shapes=((batch, length, heads * width), cache_shape, cache_shape),
        version=1,
    )
    return output.view(batch, length, heads, width), (key, value)


def attend_portable(layer: LayerInput) -> tuple[Tensor, KeyValue]:
    """Lower to standard operators: concatenate the cache, attend under an explicit mask.

    Returns:
        output (B, S, Hq, D) and the cache including the new positions.
    """
    key = torch.cat([layer.past[0], layer.key], dim=2)
    value = torch.cat([layer.past[1], layer.value], dim=2)
    torch._check(key.shape[2] == layer.mask.attention_mask.shape[1])
    output = torch.nn.functional.scaled_dot_product_attention(
        layer.query,
        key,
        value,
        attn_mask=layer.mask.causal,
        scale=layer.scale,
        enable_gqa=layer.query.shape[1] != key.shape[1],
    )
    return output.transpose(1, 2), (key, value)


LOWERINGS: dict[Profile, Callable[[LayerInput], tuple[Tensor, KeyValue]]] = {
    "ort": attend_ort,
    "portable": attend_portable,
}


#: What becomes of the rows of all heads, (B, Kv, T, Hq / Kv): (B, T), or (B, Hq, T).
REDUCTIONS: dict[AttentionRows, Callable[[Tensor], Tensor]] = {
    "mean": lambda rows: rows.mean(dim=(1, 3)),
    "heads": lambda rows: rows.transpose(2, 3).flatten(1, 2),
}


def last_row(layer: LayerInput, key: Tensor, kind: AttentionRows) -> Tensor:
    """Return the last query's attention to all keys, (B, T) or (B, Hq, T) float32.

    The product is taken as ``K q`` rather than ``q K^T``: the cache is then never transposed, and
    nothing larger than heads x T arises.
    """
    batch, heads, _, width = layer.query.shape
    kv_heads = key.shape[1]
    groups = layer.query[:, :, -1].reshape(batch, kv_heads, heads // kv_heads, width)
    scores = torch.matmul(key, groups.transpose(2, 3) * layer.scale).float()  # (B, Kv, T, G)
    scores = scores.masked_fill(~layer.mask.last_row[:, None, :, None], float("-inf"))
    return REDUCTIONS[kind](scores.softmax(dim=2))


@dataclass
class Recorder:
    """Collects what the layers produce during one traced call of the text model."""

    profile: Profile
    kind: AttentionRows
    tapped: Sequence[int]
    past: Sequence[KeyValue]
    mask: KeyMask
    present: dict[int, KeyValue] = field(default_factory=dict)
    rows: dict[int, Tensor] = field(default_factory=dict)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Run one layer's attention and record its cache and, if tapped, its last row."""
        layer = LayerInput(query, key, value, self.past[index], self.mask, scale)
        output, self.present[index] = LOWERINGS[self.profile](layer)
        if index in self.tapped:
            self.rows[index] = last_row(layer, self.present[index][0], self.kind)
        return output


_recorder: ContextVar[Recorder] = ContextVar("carve_recorder")


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Let the registered attention function write to a recorder."""
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def _attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **extras: Any,
) -> tuple[Tensor, None]:
    unknown = {name for name in extras.keys() - _HARMLESS if extras[name] is not None}
    if unknown:
        raise CheckpointError(
            f"the text model's attention uses {', '.join(sorted(unknown))}",
            "only plain scaled dot-product attention can be exported exactly",
        )
    recorder = _recorder.get()
    return recorder.attend(module.layer_idx, query, key, value, scaling), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Build no mask: the recorder carries it."""
    return


def register_attention() -> None:
    """Register :data:`ATTENTION_NAME` with transformers; it may be repeated."""
    AttentionInterface.register(ATTENTION_NAME, _attention_forward)
    AttentionMaskInterface.register(ATTENTION_NAME, _no_mask)
