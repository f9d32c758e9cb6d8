"""The two stages that train the text model: first behind a frozen tower, then all together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tools.research.pocket.training.answering import answer_loss, text_hidden
from tools.research.pocket.training.dense import dense_loss
from tools.research.pocket.training.grounding import Grounding, GroundingLoss
from tools.research.pocket.training.loop import (
    Group,
    LossFunction,
    Metrics,
    Stage,
    WeightsFile,
    run_stage,
)
from tools.research.pocket.training.packing import TextBatch, TextBatches
from tools.research.pocket.training.pocket import Pocket

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
    run_stage(stage, batches, loss_of, WeightsFile(model, folder / f"{stage.name}.pt"))


def _text_loss(model: Pocket, settings: TextStage, grounding: GroundingLoss) -> LossFunction:
    def loss_of(batch: TextBatch, done: float) -> tuple[torch.Tensor, Metrics]:
        with torch.set_grad_enabled(settings.tower_rate > 0):
            features = model.patch_features(batch.pixels)
        hidden = text_hidden(model.text_model, model.projector(features), batch)
        loss, accuracies = answer_loss(model.vlm.lm_head, hidden, batch)
        pointing, hit = grounding(batch)
        share = settings.grounding_at(done) * grounding.settings.weight
        if share:
            loss = loss + share * pointing
        if settings.tower_rate:
            dense, _ = dense_loss(model.heads, features, batch.labels, text_weight=1.5)
            loss = loss + settings.dense * dense
        return loss, {"hit": hit, **accuracies}

    return loss_of
