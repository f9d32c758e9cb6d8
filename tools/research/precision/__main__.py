"""What lower precision costs, in two tables: pocket, and a decoder trained on real text.

python -m tools.research.precision                     # both, into build/precision
python -m tools.research.precision --only smollm2
python -m tools.research.precision --quick             # a smoke test: pocket, the mildest choice

The second needs the extra ``pocket-l`` and the package with the decoder, see
``tools/research/pocket_l/README.md``. What was measured is not measured again; after a change of
the code that lowers, give another folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carve_models.cli import ErrorCommand
from tools.bench.figures import machine
from tools.research.precision.measure import Extent, Measurer, Row
from tools.research.precision.subjects import Subject, pocket, smollm2
from tools.research.precision.table import label, language_table, question_table
from tools.shared.tables import Table

#: Of tables that do not go to a terminal, in characters.
_WIDTH = 160

#: What makes the subject, about how many scenes it is asked, and the table of its rows.
_TABLES: dict[str, tuple[Callable[[Path, int], Subject], int, Callable[[Sequence[Row]], Table]]] = {
    "pocket": (pocket, 40, question_table),
    "smollm2": (smollm2, 60, language_table),
}


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/precision"))
@click.option("--only", type=click.Choice(list(_TABLES)), multiple=True, help="Tables to make.")
@click.option("--rounds", default=Extent.rounds, help="Rounds of each time.")
@click.option("--quick", is_flag=True, help="A smoke test: pocket, the mildest choice, one round.")
def main(work: Path, only: tuple[str, ...], rounds: int, quick: bool) -> None:
    """Lower each model in every way, measure what results, print and save the tables.

    Nothing else should run on the machine meanwhile: decoders are timed.
    """
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    extent = Extent(rounds=1 if quick else rounds)
    work = work / "quick" if quick else work
    for name in ("pocket",) if quick else only or tuple(_TABLES):
        make, scenes, tabulate = _TABLES[name]
        subject = make(work, 1 if quick else scenes)
        choices = subject.choices[:1] if quick else subject.choices
        rows = _measure(Measurer(subject, extent), choices, console)
        table = tabulate(rows)
        table.show(console)
        _save(work / name, table, rows)
        console.print(f"{work / name}.json, {work / name}.md", highlight=False)


def _measure(measurer: Measurer, choices: Sequence[tuple[str, ...]], console: Console) -> list[Row]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}"),
    )
    rows = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1 + len(choices), stage="")
        for choice in ((), *choices):
            progress.update(task, description=label(choice))
            rows.append(measurer.row(choice, lambda stage: progress.update(task, stage=stage)))
            progress.advance(task)
        progress.update(task, description="", stage="")
    return rows


def _save(path: Path, table: Table, rows: Sequence[Row]) -> None:
    document = {"machine": machine(), "rows": rows}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    path.with_suffix(".json").write_bytes(text + b"\n")
    path.with_suffix(".md").write_text(table.markdown())


if __name__ == "__main__":
    main()
