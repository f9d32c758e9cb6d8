"""Build pocket-L and measure where it looks; without a command both, one after the other.

python -m tools.research.pocket_l
python -m tools.research.pocket_l build
python -m tools.research.pocket_l measure
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from carve_eval.reporting.tables import open_console
from tools.checks.figures import publish
from tools.research.pocket_l.build import Recipe, build
from tools.research.pocket_l.fit.projector import FitSpec
from tools.research.pocket_l.pointing.measure import Extent, measure
from tools.shared.models.language_model import smollm2_file

_OUT = Path("build/pocket-l")
_POCKET = Path("models/pocket/checkpoint")


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=_OUT)
@click.option("--threads", default=2)
@click.pass_context
def main(context: click.Context, out: Path, threads: int) -> None:
    """Pocket's eyes, a real language model behind them."""
    torch.set_num_threads(threads)
    context.obj = out
    if context.invoked_subcommand is None:
        context.invoke(build_command)
        context.invoke(measure_command)


@main.command("build")
@click.option("--pocket", type=click.Path(path_type=Path, exists=True), default=_POCKET)
@click.option(
    "--language-model",
    type=click.Path(path_type=Path, exists=True),
    help="GGUF file or folder of another Llama.  [default: SmolLM2-135M-Instruct]",
)
@click.option("--views", default=FitSpec.views, help="Training views whose patches are fitted.")
@click.pass_obj
def build_command(out: Path, pocket: Path, language_model: Path | None, views: int) -> None:
    """Fit the projector and write OUT/checkpoint."""
    build(out, Recipe(pocket, language_model or smollm2_file(), FitSpec(views)))


@main.command("measure")
@click.option("--scenes", default=Extent.scenes, help="Scenes of each split.")
@click.option("--questions", default=Extent.questions, help="Questions about a scene, at most.")
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
@click.pass_obj
def measure_command(out: Path, scenes: int, questions: int, write: bool) -> None:
    """Choose on the development split, quote the test split; write OUT/report."""
    report = measure(out, Extent(scenes, questions), open_console())
    if write:
        publish("pocket_l", report)


if __name__ == "__main__":
    main()
