"""Attention of the last position to the image, of several texts about it in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from tools.research.pocket_l.language_model import IMAGE_TOKEN


class Reader:
    """A LLaVA checkpoint, ready to return attention rows."""

    def __init__(self, model: Any, processor: Any, prompt: str) -> None:
        """Take a loaded model with eager attention.

        Args:
            model: a ``LlavaForConditionalGeneration``.
            processor: its processor.
            prompt: the layout, with ``<image>`` before ``{text}``.
        """
        self._model, self._processor = model, processor
        self._before, self._after = prompt.split(IMAGE_TOKEN)

    @classmethod
    def load(cls, folder: str, prompt: str) -> Reader:
        """Load a checkpoint folder in float32."""
        model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        )
        return cls(model.eval(), AutoProcessor.from_pretrained(folder), prompt)

    def rows(self, image: Image.Image, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, layers, image tokens), mean over heads, at the first step.

        Every text sees the image and itself, at the positions it would have alone: the image is
        encoded once.
        """
        with torch.inference_mode():
            prefix, tokens = self._prefix(image)
            suffixes = [self._ids(self._after.format(text=text)) for text in texts]
            lengths = torch.tensor([len(ids) for ids in suffixes])
            embeds = torch.cat([prefix, self._embed(torch.cat(suffixes))[None]], dim=1)
            segment = torch.cat(
                [torch.zeros(prefix.shape[1], dtype=torch.long)]
                + [torch.full((len(ids),), 1 + i) for i, ids in enumerate(suffixes)]
            )
            output = self._model.model.language_model(
                inputs_embeds=embeds,
                attention_mask=_mask(segment),
                position_ids=_positions(segment)[None],
                output_attentions=True,
                use_cache=False,
            )
            last = prefix.shape[1] + lengths.cumsum(0) - 1
            found = [layer[0][:, last, tokens].mean(dim=0) for layer in output.attentions]
            return np.asarray(torch.stack(found, dim=1).numpy())

    def _prefix(self, image: Image.Image) -> tuple[torch.Tensor, slice]:
        """Return the embeddings up to the image, (1, P, hidden), and where the image stands."""
        pixels = self._processor.image_processor(images=image, return_tensors="pt").pixel_values
        (features,) = self._model.get_image_features(pixels).pooler_output
        before = self._embed(self._ids(self._before))
        embeds = torch.cat([before, features])[None]
        return embeds, slice(len(before), embeds.shape[1])

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._model.get_input_embeddings()(ids)
        return found

    def _ids(self, text: str) -> torch.Tensor:
        ids = self._processor.tokenizer(text, add_special_tokens=False).input_ids
        return torch.tensor(ids, dtype=torch.long)


def _mask(segment: torch.Tensor) -> torch.Tensor:
    """Return (1, 1, T, T) float32: 0 where a token sees another, else the lowest number."""
    order = torch.arange(len(segment))
    shared = (segment[None] == 0) | (segment[None] == segment[:, None])
    seen = shared & (order[None] <= order[:, None])
    lowest = torch.finfo(torch.float32).min
    return torch.where(seen, 0.0, lowest)[None, None]


def _positions(segment: torch.Tensor) -> torch.Tensor:
    """Return (T,) positions: every text starts right after the prefix."""
    prefix = int((segment == 0).sum())
    order = torch.arange(len(segment))
    starts = torch.stack([order[segment == s].min() for s in segment.unique()])
    return torch.where(segment == 0, order, prefix + order - starts[segment])
