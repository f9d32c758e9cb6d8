"""Measure what the README claims about speed, and print the table.

python -m tools.bench                 # everything; figures.json, figures.md, plots in build/bench
python -m tools.bench --only carve    # one line
python -m tools.bench --quick         # a smoke test on pocket
python -m tools.bench --write         # everything, and fill the pages that quote the figures
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from carve_eval.reporting.progress import progress_bars
from carve_eval.reporting.tables import open_console
from carve_models.replacing import write_json
from tools.bench.context import Context
from tools.bench.lines import LINES
from tools.bench.lines.scaling import SCALING_PLOT
from tools.checks.figures import IMAGES, publish
from tools.shared.figures import Figure, SpeedReport, tabulate
from tools.shared.machine import this_machine

_COMMAND = "python -m tools.bench"


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
@click.option("--only", type=click.Choice(list(LINES)), multiple=True, help="Lines to measure.")
@click.option("--rounds", default=9, help="Rounds of each measurement.")
@click.option("--quick", is_flag=True, help="A smoke test: pocket, shortest cases, one round.")
@click.option("--write", is_flag=True, help="Put figures and plot into the documentation.")
def main(out: Path, only: tuple[str, ...], rounds: int, quick: bool, write: bool) -> None:
    """Measure speed and memory; nothing else should run on the machine meanwhile."""
    if write and (only or quick):
        raise click.UsageError("--write is for all lines together")
    out.mkdir(parents=True, exist_ok=True)
    context = Context(out, 1 if quick else rounds, quick)
    console = open_console()
    figures: list[Figure] = []
    chosen = only or tuple(LINES)
    with progress_bars(console) as bars:
        task = bars.add_task("measure", total=len(chosen))
        for name in chosen:
            bars.update(task, description=name)
            for figure in LINES[name](context):
                figures.append(figure)
                report = SpeedReport(f"{_COMMAND} --rounds {rounds}", this_machine(), figures)
                write_json(out / "figures.json", report)
            bars.advance(task)
    table = tabulate(figures)
    (out / "figures.md").write_text(table.markdown())
    table.show(console)
    click.echo(f"{out}/figures.json, {out}/figures.md")
    if write:
        publish("speed", report)
        shutil.copyfile(out / SCALING_PLOT, IMAGES / SCALING_PLOT)


if __name__ == "__main__":
    main()
