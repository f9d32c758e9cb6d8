"""Measure what the README claims about speed, and print the table.

python -m tools.bench                 # everything; figures.json, figures.md, plots in build/bench
python -m tools.bench --only carve    # one line
python -m tools.bench --quick         # a smoke test on pocket
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tools.bench.context import Context
from tools.bench.figures import Figure, save, show
from tools.bench.lines import LINES

_WIDTH = 160


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
@click.option("--only", type=click.Choice(list(LINES)), multiple=True, help="Lines to measure.")
@click.option("--rounds", default=9, help="Rounds of each measurement.")
@click.option("--quick", is_flag=True, help="A smoke test: pocket, shortest cases, one round.")
def main(out: Path, only: tuple[str, ...], rounds: int, quick: bool) -> None:
    """Measure speed and memory; nothing else should run on the machine meanwhile."""
    out.mkdir(parents=True, exist_ok=True)
    context = Context(out, 1 if quick else rounds, quick)
    console = Console()
    figures: list[Figure] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    chosen = only or tuple(LINES)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("measure", total=len(chosen))
        for name in chosen:
            progress.update(task, description=name)
            for figure in LINES[name](context):
                figures.append(figure)
                save(figures, out)
            progress.advance(task)
    show(figures, console if console.is_terminal else Console(width=_WIDTH))
    click.echo(f"{out}/figures.json, {out}/figures.md")


if __name__ == "__main__":
    main()
