"""Teach pocket's text model to see several frames, behind its frozen tower.

python -m tools.research.pocket.clips.train

Interrupted, it goes on from its last checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import click
import torch
from transformers import LlavaForConditionalGeneration

from tools.research.pocket.clips.batches import ClipBatches
from tools.research.pocket.training.grounding import Grounding
from tools.research.pocket.training.packing import pocket_wording
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.training.text_stages import TextStage, train_text
from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.shared.log import start_log

#: Positions of the model: twelve frames, a question and its answer.
CONTEXT = 2048
POCKET = Path("models/pocket/checkpoint")
STAGE = "clips"
#: Longest row of questions and answers, in tokens.
_MOST_TOKENS = 120


def start_from(checkpoint: Path) -> Pocket:
    """Return a model with the weights of a checkpoint of pocket's, and room for more frames."""
    model = Pocket(build_tokenizer(CONTEXT), CONTEXT)
    trained = LlavaForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    model.vlm.load_state_dict(trained.state_dict())
    return model


def clip_batches(images: int, seed: int) -> ClipBatches:
    """Return what pocket is trained on; arguments as for :class:`ClipBatches`."""
    wording = replace(pocket_wording(build_tokenizer(CONTEXT)), most_tokens=_MOST_TOKENS)
    return ClipBatches(wording, images, seed)


def clip_stage(steps: int, rate: float) -> TextStage:
    """Return the stage: the tower is frozen, the grounding fades half-way."""
    return TextStage(STAGE, steps, rate=rate, tower_rate=0.0, grounding_end=0.5)


@click.command(context_settings={"show_default": True})
@click.option("--checkpoint", type=click.Path(path_type=Path), default=POCKET)
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/clips"))
@click.option("--steps", default=600)
@click.option("--images", default=24, help="Frames of a batch.")
@click.option("--rate", default=0.3, help="Learning rate, as a share of that of stage bind.")
@click.option("--seed", default=1)
@click.option("--threads", default=1)
@click.option("--minutes", default=math.inf, help="Stop then, to go on another time.")
def main(
    checkpoint: Path,
    out: Path,
    steps: int,
    images: int,
    rate: float,
    seed: int,
    threads: int,
    minutes: float,
) -> None:
    """Train from pocket's CHECKPOINT; OUT gets weights and log."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    start_log(out / "train.log")
    train_text(
        start_from(checkpoint),
        clip_stage(steps, rate),
        Grounding(),
        clip_batches(images, seed),
        out,
        workers=0,
        seconds=60 * minutes,
    )


if __name__ == "__main__":
    main()
