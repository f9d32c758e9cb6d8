"""The training loop that all stages share: resumable, logged, scheduled."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from carve_eval.reporting.progress import progress
from carve_models.replacing import replacing
from tools.research.pocket.training.muon import Muon

_LOG = logging.getLogger(__name__)
Metrics = dict[str, float]
#: Takes a batch and the share of the stage that is done; returns loss and figures to log.
LossFunction = Callable[[Any, float], tuple[torch.Tensor, Metrics]]


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate: Muon for matrices, AdamW for the rest."""

    module: nn.Module
    matrix_rate: float
    rate: float
    #: Matrices outside of these parts of the name count as "the rest" (embeddings, heads).
    matrices_in: Sequence[str] = ("layers.",)


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: names the checkpoint ``{name}.pt``.
        steps: number of batches.
        groups: what is trained, and how fast.
        warmup: steps of linear warm-up; a cosine falls to ``floor`` times the rate afterwards.
        floor: last learning rate, as a share.
        clip: largest gradient norm of each group.
        save_seconds: time between two checkpoints, at least; they are written after a log line.
        log_steps: steps of a log line.
    """

    name: str
    steps: int
    groups: Sequence[Group]
    warmup: int = 50
    floor: float = 0.03
    clip: float = 1.0
    save_seconds: float = 180.0
    log_steps: int = 50
    optimizers: list[torch.optim.Optimizer] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        matrices: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        for group in self.groups:
            parts: dict[bool, list[nn.Parameter]] = defaultdict(list)
            for name, parameter in group.module.named_parameters():
                inside = any(part in name for part in group.matrices_in)
                parts[parameter.ndim == 2 and inside].append(parameter)
            matrices.append({"params": parts[True], "rate": group.matrix_rate})
            rest.append({"params": parts[False], "rate": group.rate})
        matrices = [group for group in matrices if group["params"]]
        if matrices:
            self.optimizers.append(Muon(matrices))
        self.optimizers.append(torch.optim.AdamW(rest, weight_decay=0.01, betas=(0.9, 0.98)))

    def set_rates(self, step: int) -> None:
        """Set every learning rate for a step."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        share = min(1.0, (step + 1) / self.warmup) * (self.floor + (1 - self.floor) * cosine)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * share


class Keeper(Protocol):
    """Keeps what a stage has reached where an interruption does not harm it."""

    def load(self, stage: Stage) -> int:
        """Restore what was saved last, if anything; return the number of steps done."""

    def save(self, stage: Stage, step: int) -> None:
        """Save the state after ``step`` steps."""

    def note(self, step: int, means: Metrics) -> None:
        """Take note of the means since the last log line; called before :meth:`save`."""


def run_stage(
    stage: Stage,
    batches: Dataset[Any],
    loss_of: LossFunction,
    keeper: Keeper,
    *,
    workers: int = 1,
    seconds: float = math.inf,
) -> int:
    """Train, from where the stage was left; return the number of steps done.

    Args:
        stage: what is trained, and how.
        batches: batch ``index`` of the stage, always the same one.
        loss_of: the loss of a batch.
        keeper: has the last checkpoint, and gets the next.
        workers: processes that make batches; 0: this one does.
        seconds: after which no more steps are begun than those up to the next log line.
    """
    first = keeper.load(stage)
    if first == stage.steps:
        return first
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, stage.steps),
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        generator=torch.Generator(),  # else it would draw from the one that the model draws from
    )
    saved = started = time.monotonic()
    recent = defaultdict[str, list[float]](list)
    steps = progress(range(stage.steps), stage.name, done=first)
    for step, batch in zip(steps, loader, strict=False):
        stage.set_rates(step)
        loss, metrics = loss_of(batch, step / stage.steps)
        _update(stage, loss)
        for name, value in {"loss": loss.item(), **metrics}.items():
            recent[name].append(value)
        done = step + 1
        if done % stage.log_steps and done < stage.steps:
            continue
        now = time.monotonic()
        means = {name: _mean(values) for name, values in sorted(recent.items())}
        recent.clear()
        keeper.note(done, means)
        rate = (now - started) / (done - first)
        _LOG.info("%s %d %.2fs/step %s", stage.name, done, rate, _spell(means))
        over = now - started > seconds or done == stage.steps
        if over or now - saved > stage.save_seconds:
            keeper.save(stage, done)
            saved = now
        if over:
            break
    return done


def _update(stage: Stage, loss: torch.Tensor) -> None:
    for optimizer in stage.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in stage.groups:
        nn.utils.clip_grad_norm_(group.module.parameters(), stage.clip)
    for optimizer in stage.optimizers:
        optimizer.step()


def _spell(means: Metrics) -> str:
    return " ".join(f"{name}={mean:.3f}" for name, mean in means.items())


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


@dataclass(frozen=True)
class WeightsFile:
    """All weights and the optimisers' state in one file of PyTorch's."""

    model: nn.Module
    path: Path

    def load(self, stage: Stage) -> int:
        """Restore the last checkpoint; return the number of steps done."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(stage.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return int(state["step"])

    def save(self, stage: Stage, step: int) -> None:
        """Write the checkpoint; an interrupted write leaves the previous one."""
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in stage.optimizers],
        }
        with replacing(self.path) as aside:
            torch.save(state, aside)

    def note(self, step: int, means: Metrics) -> None:
        """Leave it to the log."""
