"""Train pocket: the tower, its alignment with words, the text model, then everything together.

    python -m tools.pocket.pool
    python -m tools.pocket.train

Interrupted, the second command goes on from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from tools.pocket.console import start_log
from tools.pocket.pocket import Pocket
from tools.pocket.stages import align_projector, train_tower
from tools.pocket.tokenizer import build_tokenizer


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--tower-steps", default=2400)
@click.option("--align-steps", default=150)
@click.option("--seed", default=1)
@click.option("--threads", default=2)
def main(out: Path, tower_steps: int, align_steps: int, seed: int, threads: int) -> None:
    """Train on the views in OUT/pool; checkpoints and log go to OUT."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    start_log(out / "train.log")
    tokenizer = build_tokenizer()
    model = Pocket(tokenizer)
    train_tower(model, out, steps=tower_steps, batch=32, seed=seed)
    align_projector(model, tokenizer, out, steps=align_steps, batch=16, seed=seed)


if __name__ == "__main__":
    main()
