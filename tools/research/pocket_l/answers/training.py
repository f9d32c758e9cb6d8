"""Train, or go on with it."""

from __future__ import annotations

import math
from pathlib import Path

from transformers import AutoTokenizer

from tools.research.pocket.training.loop import Stage, run_stage
from tools.research.pocket_l.answers.batches import QuestionBatches, wording
from tools.research.pocket_l.answers.checkpoints import Checkpoints
from tools.research.pocket_l.answers.learner import Learner
from tools.research.pocket_l.answers.recipe import Recipe
from tools.research.pocket_l.build import built_identity

#: Learning rates rise over this share of the steps.
_WARMUP = 0.05
#: Lines of the log.
_LINES = 60


def steps_folder(out: Path) -> Path:
    """Return the folder of the states of training."""
    return out / "answers" / "steps"


def train(
    out: Path,
    recipe: Recipe,
    *,
    device: str = "cpu",
    processes: int = 1,
    seconds: float = math.inf,
    save_seconds: float = 60,
) -> int:
    """Train what ``out/checkpoint`` has; return the number of steps done.

    Args:
        out: pocket-L's folder.
        recipe: what is trained with.
        device: a name of PyTorch's.
        processes: that draw and render pictures beside this one; with 0, this one does.
        seconds: after which it stops, with a checkpoint, at the next line of the log.
        save_seconds: between two checkpoints, at least.

    Raises:
        CheckpointError: there is nothing to train, or training was begun with another recipe.
    """
    start = built_identity(out)
    learner = Learner(out / "checkpoint", recipe, device)
    stage = Stage(
        "answers",
        recipe.steps,
        learner.groups,
        warmup=math.ceil(_WARMUP * recipe.steps),
        save_seconds=save_seconds,
        log_steps=math.ceil(recipe.steps / _LINES),
    )
    keeper = Checkpoints(steps_folder(out), learner, start)
    tokenizer = AutoTokenizer.from_pretrained(out / "checkpoint")
    batches = QuestionBatches(wording(tokenizer), recipe)
    return run_stage(stage, batches, learner.loss_of, keeper, workers=processes, seconds=seconds)
