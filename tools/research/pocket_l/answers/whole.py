"""The trained model as one: a Hugging Face checkpoint with the adapters merged into it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
from transformers import AutoTokenizer

from carve_models.errors import CheckpointError
from carve_models.replacing import write_json
from tools.research.pocket_l.answers.checkpoints import Checkpoints, State, last, read_state
from tools.research.pocket_l.answers.learner import Learner
from tools.research.pocket_l.answers.training import steps_folder
from tools.research.pocket_l.build import RECORD, built_identity
from tools.research.pocket_l.checkpoint import save
from tools.shared.files import write_once


def merge(out: Path) -> tuple[Path, State]:
    """Write ``out/answers/trained/checkpoint`` unless it is there; return the folder above it.

    The state that it was made of comes with it.

    Raises:
        CheckpointError: nothing was trained, or it began with another checkpoint.
    """
    latest = last(steps_folder(out))
    if latest is None:
        raise CheckpointError(
            f"nothing was trained in {steps_folder(out)}",
            "run python -m tools.research.pocket_l.answers train",
        )
    state, start = read_state(latest), built_identity(out)
    trained = out / "answers" / "trained"
    folder = trained / "checkpoint"
    told = msgspec.json.encode((start, state.start, state.recipe, state.step))
    identity = hashlib.sha256(told).hexdigest()[:16]
    if folder.exists() and built_identity(trained) == identity:
        return trained, state
    learner = Learner(out / "checkpoint", state.recipe)
    Checkpoints(steps_folder(out), learner, start).restore(latest, state)

    def write(aside: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(out / "checkpoint")
        save(learner.merge(), tokenizer, aside)
        write_json(aside / RECORD, {"identity": identity})

    shutil.rmtree(folder, ignore_errors=True)
    write_once(folder, write)
    return trained, state
