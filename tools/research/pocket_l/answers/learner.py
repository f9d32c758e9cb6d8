"""Pocket-L with adapters: what is trained of it, and the whole that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from torch import nn
from transformers import LlavaForConditionalGeneration

from tools.research.pocket.training.answering import answer_loss, text_hidden
from tools.research.pocket.training.architecture import normalize
from tools.research.pocket.training.loop import Group, Metrics
from tools.research.pocket.training.packing import TextBatch
from tools.research.pocket_l.answers.recipe import Recipe

#: Every matrix of the decoder's layers, and none of the vision tower's.
_ADAPTED = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
#: What is added is ``_SCALE`` times the product of an adapter's two matrices.
_SCALE = 2
#: Tensors of a batch that the loss needs on the device.
_MOVED = ("pixels", "ids", "positions", "segments", "targets", "weights")

Tensors = dict[str, torch.Tensor]


class Learner(nn.Module):
    """A LLaVA whose projector, tower and adapters learn; everything else stays."""

    def __init__(self, checkpoint: Path, recipe: Recipe, device: str = "cpu") -> None:
        """Load a checkpoint in float32 and add adapters, which change nothing at first."""
        super().__init__()
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        vlm = LlavaForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=_SCALE * recipe.rank,
            lora_dropout=recipe.dropout,
            target_modules=_ADAPTED,
        )
        self.adapted = get_peft_model(vlm, config)
        self.vlm = vlm
        self.projector.requires_grad_(True)
        self.tower.requires_grad_(recipe.tower_rate > 0)
        self.to(self.device).train()

    @property
    def tower(self) -> Any:
        """The CLIP vision tower."""
        return self.vlm.model.vision_tower

    @property
    def projector(self) -> Any:
        """From patch features to image tokens."""
        return self.vlm.model.multi_modal_projector

    @property
    def groups(self) -> list[Group]:
        """What is trained, and how fast; AdamW for everything."""
        rates = [
            (self.vlm.model.language_model, self.recipe.rate),
            (self.projector, self.recipe.rate),
            (self.tower, self.recipe.tower_rate),
        ]
        return [Group(part, 0.0, rate, matrices_in=()) for part, rate in rates if rate]

    def loss_of(self, batch: TextBatch, done: float) -> tuple[torch.Tensor, Metrics]:
        """Return the loss of a batch and the accuracy by kind of question."""
        batch = batch._replace(**{name: getattr(batch, name).to(self.device) for name in _MOVED})
        lower = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
            tokens = self.image_tokens(batch.pixels)
            hidden = text_hidden(self.vlm.model.language_model, tokens, batch)
            return answer_loss(self.vlm.lm_head, hidden, batch)

    def image_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (B, IMAGE_TOKENS, width) of (B, H, W, 3) uint8, as the checkpoint computes it."""
        states = self.tower(normalize(pixels), output_hidden_states=True).hidden_states
        layers = self.vlm.config.vision_feature_layer
        tokens: torch.Tensor = self.projector(torch.cat([states[i][:, 1:] for i in layers], -1))
        return tokens

    @property
    def adapters(self) -> Tensors:
        """The adapters' matrices, under the names that peft's files have."""
        return dict(get_peft_model_state_dict(self.adapted, save_embedding_layers=False))

    @property
    def parts(self) -> Tensors:
        """The weights of projector and tower."""
        named = {"projector": self.projector, "tower": self.tower}
        return {
            f"{name}.{key}": value
            for name, part in named.items()
            for key, value in part.state_dict().items()
        }

    def restore(self, adapters: Tensors, parts: Tensors) -> None:
        """Take back what :attr:`adapters` and :attr:`parts` were."""
        set_peft_model_state_dict(self.adapted, adapters)
        for name, part in (("projector", self.projector), ("tower", self.tower)):
            start = f"{name}."
            part.load_state_dict(
                {k.removeprefix(start): v for k, v in parts.items() if k.startswith(start)}
            )

    def merge(self) -> Any:
        """Add the adapters to the weights; return the ``LlavaForConditionalGeneration``.

        Nothing can be trained afterwards.
        """
        return self.adapted.merge_and_unload().eval()
