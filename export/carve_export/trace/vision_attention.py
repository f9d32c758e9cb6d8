"""Attention of vision encoders over packed patches, with windows as an input of the graph.

transformers splits packed sequences with a loop over their lengths, which cannot be traced. Only
implementations with "flash" in their name are given whole queries, keys and values, so ours has it.
Windows are gathered into rows of equal length, with a mask where a window has fewer patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

VISION_ATTENTION_NAME = "carve_flash_vision"


@dataclass(frozen=True)
class Windows:
    """The windows of one image.

    Attributes:
        patches: (windows, L) int64, the patches of each window, -1 where it has none.
        slots: (patches,) int64, where each patch stands in ``patches``, flattened.
    """

    patches: Tensor
    slots: Tensor


_windows: ContextVar[Windows | None] = ContextVar("carve_windows", default=None)


@contextmanager
def attending_in(windows: Windows | None) -> Iterator[None]:
    """Let the registered attention function attend in windows; everywhere if ``None``."""
    token = _windows.set(windows)
    try:
        yield
    finally:
        _windows.reset(token)


def _attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    cu_seq_lens_q: Tensor,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend; query, key and value are (1, heads, patches, D), the result (1, patches, heads, D).

    The encoder passes boundaries of sequences. In place of those of the windows it was given the
    windows themselves, see :class:`carve_export.trace.vision.PatchEncoder`.
    """
    windows = _windows.get()
    if windows is None or cu_seq_lens_q is not windows.patches:
        output = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling)
        return output.transpose(1, 2), None
    mask = windows.patches >= 0
    gather = windows.patches.clamp(min=0).flatten()
    rows, length = windows.patches.shape
    heads, width = query.shape[1], query.shape[3]
    parts = [
        states[0][:, gather].view(heads, rows, length, width).transpose(0, 1)
        for states in (query, key, value)
    ]
    output = torch.nn.functional.scaled_dot_product_attention(
        *parts, attn_mask=mask[:, None, None, :], scale=scaling
    )
    flat = output.transpose(1, 2).reshape(rows * length, heads, width)
    return flat[windows.slots][None], None


def register_vision_attention() -> None:
    """Register :data:`VISION_ATTENTION_NAME` with transformers; it may be repeated."""
    AttentionInterface.register(VISION_ATTENTION_NAME, _attention_forward)
