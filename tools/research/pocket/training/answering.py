"""A language model behind image tokens: its output for questions, and the loss of its answers."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from tools.research.pocket.training.packing import IGNORED, TextBatch, attention_mask
from tools.research.pocket.world.questions import KINDS


def text_hidden(text_model: Any, image_tokens: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """Return the output of a Llama for the text, (B, L, width).

    Args:
        text_model: the decoder without its head.
        image_tokens: (B * images, IMAGE_TOKENS, width).
        batch: the text.
    """
    size, device = len(batch.ids), batch.ids.device
    embed = text_model.embed_tokens
    before = embed(torch.tensor(batch.before, device=device).expand(size, -1))
    tokens = image_tokens.reshape(size, -1, image_tokens.shape[-1])
    positions = torch.arange(batch.prefix, device=device).expand(size, -1)
    output = text_model(
        inputs_embeds=torch.cat([before, tokens, embed(batch.ids)], 1),
        attention_mask=attention_mask(batch),
        position_ids=torch.cat([positions, batch.positions], 1),
        use_cache=False,
    )
    hidden: torch.Tensor = output.last_hidden_state[:, batch.prefix :]
    return hidden


def answer_loss(
    head: Any, hidden: torch.Tensor, batch: TextBatch
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the weighted loss of the answers' tokens, and the accuracy by kind of question.

    Args:
        head: from (n, width) to logits.
        hidden: (B, L, width), of :func:`text_hidden`.
        batch: the answers.
    """
    known = batch.targets != IGNORED
    logits = head(hidden[known]).float()
    targets, weights = batch.targets[known], batch.weights[known]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    loss = (losses * weights).sum() / weights.sum()
    correct = torch.zeros(batch.targets.shape, device=hidden.device)
    correct[known] = (logits.argmax(-1) == targets).float()
    return loss, _accuracies(batch, correct.cpu())


def _accuracies(batch: TextBatch, correct: torch.Tensor) -> dict[str, float]:
    """Return the share of answers whose tokens are all right, by kind of question."""
    by_kind: dict[str, list[float]] = {}
    suffix = str(batch.images) if batch.images > 1 else ""
    for row, start, length, kind in zip(*(part.tolist() for part in batch.answers), strict=True):
        right = float(correct[row, start : start + length].min())
        by_kind.setdefault(KINDS[kind] + suffix, []).append(right)
    return {kind: sum(values) / len(values) for kind, values in by_kind.items()}
