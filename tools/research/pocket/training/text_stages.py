"""The two stages that train the text model: first behind a frozen tower, then all together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from tools.research.pocket.training.dense import dense_loss
from tools.research.pocket.training.grounding import Grounding, GroundingLoss
from tools.research.pocket.training.loop import Group, LossFunction, Metrics, Stage, run_stage
from tools.research.pocket.training.packing import IGNORED, TextBatch, TextBatches, attention_mask
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.world.model_input import IMAGE_TOKENS
from tools.research.pocket.world.questions import KINDS

#: Names of the matrices that Muon trains.
_MATRICES = ("layers.", "linear_")
_MATRIX_RATE, _RATE = 4e-3, 2e-3


@dataclass(frozen=True)
class TextStage:
    """One stage.

    Attributes:
        name: names the checkpoint.
        steps: number of batches.
        batch: images of a batch.
        pairs: share of the batches with two images.
        rate: learning rate, as a share of the full one.
        tower_rate: the tower's, likewise; 0 freezes it.
        dense: weight of the dense loss, if the tower learns.
        grounding: share of the grounding's weight in the beginning.
        grounding_end: share of the stage after which there is none.
    """

    name: str
    steps: int
    batch: int
    pairs: float
    rate: float
    tower_rate: float
    dense: float = 0.4
    grounding: float = 1.0
    grounding_end: float = 1.0

    def grounding_at(self, done: float) -> float:
        """Return the share of the grounding's weight when ``done`` of the stage is over."""
        return self.grounding * max(0.0, 1 - done / self.grounding_end)


def train_text(
    model: Pocket, settings: TextStage, grounding: Grounding, folder: Path, *, seed: int
) -> None:
    """Train one stage."""
    loss_of = _text_loss(model, settings, GroundingLoss(model.vlm, grounding))
    groups = [
        Group(part, _MATRIX_RATE * settings.rate, _RATE * settings.rate, _MATRICES)
        for part in (model.projector, model.text_model, model.vlm.lm_head)
    ]
    if settings.tower_rate:
        rate = settings.tower_rate
        groups += [Group(part, _MATRIX_RATE * rate, _RATE * rate) for part in model.eyes]
    stage = Stage(settings.name, settings.steps, groups)
    batches = TextBatches(folder, settings.batch, seed, pairs=settings.pairs)
    run_stage(stage, model, batches, loss_of, folder)


def _text_loss(model: Pocket, settings: TextStage, grounding: GroundingLoss) -> LossFunction:
    def loss_of(batch: TextBatch, done: float) -> tuple[torch.Tensor, Metrics]:
        with torch.set_grad_enabled(settings.tower_rate > 0):
            features = model.patch_features(batch.pixels)
        known = batch.targets != IGNORED
        logits = model.vlm.lm_head(_hidden(model, batch, features)[known])
        targets, weights = batch.targets[known], batch.weights[known]
        losses = functional.cross_entropy(logits, targets, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        pointing, hit = grounding(batch)
        share = settings.grounding_at(done) * grounding.settings.weight
        if share:
            loss = loss + share * pointing
        if settings.tower_rate:
            dense, _ = dense_loss(model.heads, features, batch.labels, text_weight=1.5)
            loss = loss + settings.dense * dense
        correct = torch.zeros(batch.targets.shape)
        correct[known] = (logits.argmax(-1) == targets).float()
        return loss, {"hit": hit, **_accuracies(batch, correct)}

    return loss_of


def _hidden(model: Pocket, batch: TextBatch, features: torch.Tensor) -> torch.Tensor:
    """Return the text model's output for the text, (B, L, width)."""
    size, prefix = len(batch.ids), 1 + batch.images * IMAGE_TOKENS
    tokens = model.projector(features).reshape(size, prefix - 1, -1)
    embed = model.text_model.embed_tokens
    start = embed(torch.full((size, 1), model.vlm.config.text_config.bos_token_id))
    positions = torch.cat([torch.arange(prefix).expand(size, -1), batch.positions], 1)
    output = model.text_model(
        inputs_embeds=torch.cat([start, tokens, embed(batch.ids)], 1),
        attention_mask=attention_mask(batch),
        position_ids=positions,
        use_cache=False,
    )
    hidden: torch.Tensor = output.last_hidden_state[:, prefix:]
    return hidden


def _accuracies(batch: TextBatch, correct: torch.Tensor) -> Metrics:
    """Return the share of answers whose tokens are all right, by kind of question."""
    by_kind: dict[str, list[float]] = {}
    suffix = "2" if batch.images == 2 else ""
    for row, start, length, kind in zip(*(part.tolist() for part in batch.answers), strict=True):
        right = float(correct[row, start : start + length].min())
        by_kind.setdefault(KINDS[kind] + suffix, []).append(right)
    return {kind: sum(values) / len(values) for kind, values in by_kind.items()}
