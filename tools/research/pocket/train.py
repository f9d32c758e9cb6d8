"""Train pocket: the tower, its alignment with words, the text model, then everything together.

    python -m tools.research.pocket.pool
    python -m tools.research.pocket.train
    python -m tools.research.pocket.checkpoint

Interrupted, the second command goes on from its last checkpoint.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import torch

from tools.research.pocket.training.grounding import Grounding
from tools.research.pocket.training.packing import TextBatches
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.training.text_stages import TextStage, train_text
from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.research.pocket.training.vision_stages import align_projector, train_tower
from tools.shared.log import start_log


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--tower-steps", default=3600, help="Vision tower on dense patch labels.")
@click.option("--align-steps", default=150, help="Projector towards word embeddings.")
@click.option("--bind-steps", default=700, help="Text model behind the frozen tower.")
@click.option("--joint-steps", default=1100, help="Everything, pairs of images included.")
@click.option("--polish-steps", default=800, help="Everything again at a low rate, no grounding.")
@click.option("--grounding", default=Grounding.weight, help="Its weight; 0 for the ablation.")
@click.option("--seed", default=1)
@click.option("--threads", default=2)
def main(
    out: Path,
    tower_steps: int,
    align_steps: int,
    bind_steps: int,
    joint_steps: int,
    polish_steps: int,
    grounding: float,
    seed: int,
    threads: int,
) -> None:
    """Train on the views in OUT/pool; checkpoints and log go to OUT."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    start_log(out / "train.log")
    tokenizer = build_tokenizer()
    model = Pocket(tokenizer)
    train_tower(model, out, steps=tower_steps, batch=16, seed=seed)
    align_projector(model, tokenizer, out, steps=align_steps, batch=16, seed=seed)
    bind = TextStage("bind", bind_steps, rate=1.0, tower_rate=0.0, grounding_end=math.inf)
    joint = TextStage("joint", joint_steps, rate=0.7, tower_rate=0.3, grounding_end=0.5)
    polish = TextStage("polish", polish_steps, rate=0.25, tower_rate=0.25, grounding=0.0)
    for number, (stage, pairs) in enumerate(((bind, 0.0), (joint, 0.3), (polish, 0.3))):
        batches = TextBatches(out, 16, seed + 2 + number, pairs=pairs)
        train_text(model, stage, Grounding(weight=grounding), batches, out)


if __name__ == "__main__":
    main()
