"""The stages that train the text model: behind a frozen tower, or all together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

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
from tools.research.pocket.training.packing import TextBatch
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
        rate: learning rate, as a share of the full one.
        tower_rate: the tower's, likewise; 0 freezes it.
        dense: weight of the dense loss, if the tower learns.
        grounding: share of the grounding's weight in the beginning.
        grounding_end: share of the stage after which there is none.
        log_steps: steps of a log line.
    """

    name: str
    steps: int
    rate: float
    tower_rate: float
    dense: float = 0.4
    grounding: float = 1.0
    grounding_end: float = 1.0
    log_steps: int = 50

    def grounding_at(self, done: float) -> float:
        """Return the share of the grounding's weight when ``done`` of the stage is over."""
        return self.grounding * max(0.0, 1 - done / self.grounding_end)


def train_text(
    model: Pocket,
    settings: TextStage,
    grounding: Grounding,
    batches: Dataset[Any],
    folder: Path,
    *,
    workers: int = 1,
    seconds: float = math.inf,
) -> int:
    """Train one stage, from where it was left; return the number of steps done.

    Args:
        model: what is trained.
        settings: of the stage.
        grounding: where attention is supervised.
        batches: of :class:`TextBatch`.
        folder: where the checkpoint is kept.
        workers: processes that make batches; 0: this one does.
        seconds: after which it stops at the next line of the log, to go on another time.
    """
    loss_of = _text_loss(model, settings, GroundingLoss(model.vlm, grounding))
    groups = [
        Group(part, _MATRIX_RATE * settings.rate, _RATE * settings.rate, _MATRICES)
        for part in (model.projector, model.text_model, model.vlm.lm_head)
    ]
    if settings.tower_rate:
        rate = settings.tower_rate
        groups += [Group(part, _MATRIX_RATE * rate, _RATE * rate) for part in model.eyes]
    stage = Stage(settings.name, settings.steps, groups, log_steps=settings.log_steps)
    keeper = WeightsFile(model, folder / f"{stage.name}.pt")
    return run_stage(stage, batches, loss_of, keeper, workers=workers, seconds=seconds)


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
