"""Supervision of where a few heads of one layer look; it fades to zero before training ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tools.research.pocket.training.packing import TextBatch

_NAME = "pocket_grounding"


@dataclass(frozen=True)
class Grounding:
    """What is supervised.

    Attributes:
        layer: the decoder layer, 0-based.
        heads: how many of its heads, from the first.
        weight: of the loss in the beginning.
    """

    layer: int = 1
    heads: int = 2
    weight: float = 1.0


class GroundingLoss:
    """Cross entropy between attention to image tokens and where the evidence lies."""

    def __init__(self, vlm: Any, grounding: Grounding) -> None:
        """Record the grounded layer's queries and keys from now on."""
        self.settings = grounding
        self._query = self._key = torch.empty(0)
        self._scaling = 1.0
        AttentionInterface.register(_NAME, self._attend)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        vlm.set_attn_implementation({"text_config": _NAME})

    def _attend(
        self, module: Any, query: torch.Tensor, key: torch.Tensor, *args: Any, **options: Any
    ) -> Any:
        if module.layer_idx == self.settings.layer:
            self._query, self._key, self._scaling = query, key, module.scaling
        return sdpa_attention_forward(module, query, key, *args, **options)

    def __call__(self, batch: TextBatch) -> tuple[torch.Tensor, float]:
        """Return the loss of the last forward pass, and how often the strongest token is right."""
        row, position, target = batch.evidence
        if not len(row):
            return torch.zeros(()), float("nan")
        heads = slice(self.settings.heads)
        query = self._query[row, heads, batch.prefix + position]
        key = self._key[:, heads, len(batch.before) : batch.prefix][row]
        logits = torch.einsum("mhd,mhnd->mhn", query, key) * self._scaling
        loss = -(target[:, None] * logits.log_softmax(-1)).sum(-1).mean()
        strongest = logits.mean(1).argmax(-1, keepdim=True)
        return loss, float((target.gather(1, strongest) > 0).float().mean())
