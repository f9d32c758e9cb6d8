"""What lower precision costs, in two tables: pocket, and a decoder trained on real text.

python -m tools.research.precision                     # both, into build/precision
python -m tools.research.precision --only smollm2
python -m tools.research.precision --quick             # a smoke test: pocket, the mildest choice

The second needs the extra ``pocket-l`` and the package with the decoder, see
``tools/research/pocket_l/README.md``. What was measured is not measured again; after a change of
the code that lowers, give another folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from carve_eval.reporting.progress import progress_bars
from carve_eval.reporting.tables import Table, open_console
from carve_models.cli import ErrorCommand
from carve_models.replacing import write_json
from tools.checks.figures import publish
from tools.research.precision.baselines import Baseline, pocket, smollm2
from tools.research.precision.measure import Extent, Measurer, Row
from tools.research.precision.table import label, language_table, question_table
from tools.shared.machine import this_machine
from tools.shared.report import Report

_COMMAND = "python -m tools.research.precision"


class _Experiment(NamedTuple):
    """What makes the baseline, how many scenes it is asked about, and the table of its rows."""

    make: Callable[[Path, int], Baseline]
    scenes: int
    tabulate: Callable[[Sequence[Row]], Table]


_EXPERIMENTS = {
    "pocket": _Experiment(pocket, 40, question_table),
    "smollm2": _Experiment(smollm2, 60, language_table),
}


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/precision"))
@click.option(
    "--only", type=click.Choice(list(_EXPERIMENTS)), multiple=True, help="Tables to make."
)
@click.option("--rounds", default=Extent.rounds, help="Rounds of each time.")
@click.option("--quick", is_flag=True, help="A smoke test: pocket, the mildest choice, one round.")
@click.option("--write", is_flag=True, help="Put the tables into the documentation.")
def main(work: Path, only: tuple[str, ...], rounds: int, quick: bool, write: bool) -> None:
    """Lower each model in every way, measure what results, print and save the tables.

    Nothing else should run on the machine meanwhile: decoders are timed.
    """
    if write and quick:
        raise click.UsageError("--write is for whole tables")
    console = open_console()
    extent = Extent(rounds=1 if quick else rounds)
    work = work / "quick" if quick else work
    for name in ("pocket",) if quick else only or tuple(_EXPERIMENTS):
        experiment = _EXPERIMENTS[name]
        baseline = experiment.make(work, 1 if quick else experiment.scenes)
        choices = baseline.choices[:1] if quick else baseline.choices
        rows = _measure(Measurer(baseline, extent), choices, console)
        table = experiment.tabulate(rows)
        table.show(console)
        write_json(work / f"{name}.json", {"machine": this_machine(), "rows": rows})
        (work / f"{name}.md").write_text(table.markdown())
        if write:
            report = Report(f"{_COMMAND} --only {name}", [table], machine=this_machine())
            publish(f"precision-{name}", report)
        console.print(f"{work / name}.json, {work / name}.md", highlight=False)


def _measure(measurer: Measurer, choices: Sequence[tuple[str, ...]], console: Console) -> list[Row]:
    rows = []
    with progress_bars(console) as bars:
        task = bars.add_task("", total=1 + len(choices))

        def show(choice: tuple[str, ...], stage: str) -> None:
            bars.update(task, description=f"{label(choice)}: {stage}")

        for choice in ((), *choices):
            rows.append(measurer.row(choice, partial(show, choice)))
            bars.advance(task)
    return rows


if __name__ == "__main__":
    main()
