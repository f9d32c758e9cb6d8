"""The trainable whole: the vision-language model, and the read-outs that only training needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tools.research.pocket.training.architecture import Size, build_model, normalize
from tools.research.pocket.training.dense import DenseHeads


class Pocket(nn.Module):
    """A LLaVA with dense heads on its tower."""

    def __init__(self, tokenizer: Any, context: int = Size.context) -> None:
        super().__init__()
        self.vlm = build_model(tokenizer, Size(context=context))
        self.heads = DenseHeads(self.vlm.config.vision_config.hidden_size)

    @property
    def tower(self) -> Any:
        """The CLIP vision tower."""
        return self.vlm.model.vision_tower

    @property
    def eyes(self) -> tuple[nn.Module, ...]:
        """The tower and its read-outs."""
        return self.tower, self.heads

    @property
    def projector(self) -> Any:
        """From patch features to image tokens."""
        return self.vlm.model.multi_modal_projector

    @property
    def text_model(self) -> Any:
        """The Llama decoder."""
        return self.vlm.model.language_model

    def patch_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (B, IMAGE_TOKENS, width) float32 of (B, H, W, 3) uint8."""
        features: torch.Tensor = self.tower(normalize(pixels)).last_hidden_state[:, 1:]
        return features
