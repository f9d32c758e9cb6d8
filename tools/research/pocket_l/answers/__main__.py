"""Teach pocket-L to answer, and measure what its answers gain from the contrast.

python -m tools.research.pocket_l build
python -m tools.research.pocket_l.answers train --device cuda --processes 16
python -m tools.research.pocket_l.answers measure
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import click
import torch

from carve_eval.reporting.tables import open_console
from carve_models.cli import ErrorGroup
from carve_models.replacing import write_json
from tools.checks.figures import publish
from tools.research.pocket.world.cases import Group
from tools.research.pocket_l.answers.measure import Extent, measure
from tools.research.pocket_l.answers.recipe import Precision, Recipe
from tools.research.pocket_l.answers.training import train
from tools.shared.log import start_log


@click.group(cls=ErrorGroup, context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket-l"))
@click.option("--threads", default=2)
@click.pass_context
def main(context: click.Context, out: Path, threads: int) -> None:
    """Pocket-L with answers."""
    torch.set_num_threads(threads)
    context.obj = out


@main.command("train")
@click.option("--device", default="cpu", help='One of PyTorch\'s, such as "cuda".')
@click.option("--processes", default=1, help="That make pictures and questions.")
@click.option("--steps", type=click.IntRange(1), default=Recipe.steps)
@click.option("--batch", type=click.IntRange(1), default=Recipe.batch, help="Pictures of a step.")
@click.option("--easy", default=Recipe.easy, help="Share of the steps with large objects alone.")
@click.option("--rank", type=click.IntRange(1), default=Recipe.rank, help="Of the adapters.")
@click.option("--dropout", default=Recipe.dropout, help="In front of the adapters.")
@click.option("--rate", default=Recipe.rate, help="Of adapters and projector.")
@click.option("--tower-rate", default=Recipe.tower_rate, help="Of the vision tower; 0 freezes it.")
@click.option("--precision", type=click.Choice(get_args(Precision)), default=Recipe.precision)
@click.option("--seed", default=Recipe.seed)
@click.option("--seconds", type=float, default=float("inf"), help="Stop after, to go on later.")
@click.option("--save-seconds", default=60.0, help="Between two checkpoints.")
@click.pass_obj
def train_command(
    out: Path,
    /,
    device: str,
    processes: int,
    seconds: float,
    save_seconds: float,
    **recipe: object,
) -> None:
    """Train; the same command again goes on where an interrupted one stopped."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the processes are forks
    start_log(out / "answers" / "train.log")
    chosen = Recipe(**recipe)  # type: ignore[arg-type] # click has checked them
    done = train(
        out,
        chosen,
        device=device,
        processes=processes,
        seconds=seconds,
        save_seconds=save_seconds,
    )
    click.echo(f"{done} of {chosen.steps} steps")


@main.command("measure")
@click.option("--scenes", default=Extent.scenes, help="Of the development split, to choose on.")
@click.option("--pictures", default=Extent.pictures, help="Of each group of the test split.")
@click.option(
    "--group",
    "groups",
    type=click.Choice(get_args(Group)),
    multiple=True,
    default=Extent.groups,
    help="Of the test split.",
)
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
@click.pass_obj
def measure_command(
    out: Path, scenes: int, pictures: int, groups: tuple[Group, ...], write: bool
) -> None:
    """Merge, export, choose and ask; write OUT/answers/report."""
    report = measure(out, Extent(scenes, pictures, groups))
    folder = out / "answers" / "report"
    write_json(folder / "figures.json", report)
    (folder / "tables.md").write_text(report.markdown())
    for table in report.tables:
        table.show(open_console())
    if write:
        publish("pocket_l_answers", report)


if __name__ == "__main__":
    main()
