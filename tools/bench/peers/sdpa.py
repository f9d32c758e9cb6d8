"""PyTorch with scaled_dot_product_attention and transformers' cache."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import DynamicCache

from tools.bench.peers.base import PREFILL, PREFIX
from tools.bench.subjects import Subject
from tools.bench.torch_model import TorchModel


class TorchSdpa:
    """The text model of the checkpoint; logits of the last position only."""

    def __init__(self, subject: Subject, work: Path) -> None:
        self._model = TorchModel(subject, attention="sdpa").model
        width = self._model.config.text_config.hidden_size
        torch.manual_seed(0)
        self._embeds = torch.randn(1, PREFILL, width) / 10
        self._cache = DynamicCache()
        self._run(PREFIX, self._cache)

    def _run(self, positions: int, cache: DynamicCache) -> None:
        with torch.inference_mode():
            self._model(
                inputs_embeds=self._embeds[:, :positions],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )

    def prefill(self) -> None:
        """See :class:`Peer`."""
        self._run(PREFILL, DynamicCache())

    def extend(self, positions: int) -> None:
        """See :class:`Peer`."""
        self._run(positions, self._cache)
        self._cache.crop(-positions)
