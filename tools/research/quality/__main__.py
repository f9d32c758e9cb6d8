"""Measure what CARVE does for a bundle on pocket's questions: tables, JSON and plots.

python -m tools.research.quality
python -m tools.research.quality --part dev --quick --bundle my-bundle
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import matplotlib as mpl
from rich.console import Console

from carve_models.cli import ErrorCommand
from carve_runtime.bundle import open_bundle
from tools.research.pocket.cases import Part
from tools.research.quality import breakdown, grids, headline, plots
from tools.research.quality.bench import Bench
from tools.research.quality.reach import reach
from tools.research.quality.study import Size, Study
from tools.shared.tables import Table

_QUICK = Size(pictures=10, grid=5)
#: Of tables that do not go to a terminal, in characters.
_WIDTH = 160


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--bundle", type=click.Path(path_type=Path), help="The default one if not given.")
@click.option("--part", type=click.Choice(["dev", "test"]), default="test")
@click.option(
    "--pictures",
    type=click.IntRange(3),
    default=340,
    help="Pictures of every group, three questions each.",
)
@click.option("--grid-pictures", default=100, help="Pictures for the tables that vary one setting.")
@click.option("--quick", is_flag=True, help="A few pictures, to see that it works.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench_quality"))
def main(
    bundle: Path | None, part: Part, pictures: int, grid_pictures: int, quick: bool, out: Path
) -> None:
    """Measure a bundle; the same command again goes on where an interrupted one stopped."""
    bench = Bench(open_bundle(bundle), out / "cache")
    study = Study(bench, part, _QUICK if quick else Size(pictures, grid_pictures))
    folder = out / (f"{part}-quick" if quick else part)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    found = {}
    for table in filter(None, measure(study)):
        table.show(console)
        found[table.name] = table
    write(study, found, folder)
    console.print(f"saved in {folder}")


def measure(study: Study) -> Iterator[Table | None]:
    """Yield every table; ``None`` for one that the bundle gives no reason for."""
    yield headline.by_kind(study)
    yield headline.ways(study)
    yield headline.automatic(study)
    yield headline.automatic_everywhere(study)
    yield headline.adaptive(study)
    yield breakdown.by_clutter(study)
    yield breakdown.by_size(study)
    yield breakdown.entropy_by_layer(study)
    yield breakdown.entropy_and_complexity(study)
    yield breakdown.by_entropy(study)
    yield grids.share_by_regions(study)
    yield grids.layers(study)
    yield grids.steps(study)
    yield grids.general_instructions(study)
    yield reach(study)


def write(study: Study, tables: dict[str, Table], folder: Path) -> None:
    """Write the tables as Markdown and JSON, and the plots."""
    mpl.use("Agg")
    defaults = json.dumps(vars(study.defaults))
    title = f"# Quality on the {study.part} part\n\nSettings: `{defaults}`\n\n"
    text = title + "\n".join(table.markdown() for table in tables.values())
    (folder / "tables.md").write_text(text)
    figures = {"part": study.part, "settings": vars(study.defaults)}
    data = figures | {name: table.data() for name, table in tables.items()}
    (folder / "figures.json").write_text(json.dumps(data, indent=2) + "\n")
    plots.plot_kinds(tables["kinds"], folder / "kinds.png")
    plots.plot_grid(tables["share_regions"], folder / "share_regions.png")
    plots.plot_bins(tables["entropy_accuracy"], folder / "entropy_accuracy.png")
    plots.plot_bins(tables["clutter"], folder / "clutter.png")
    plots.plot_entropy(study, folder / "entropy_complexity.png")


if __name__ == "__main__":
    main()
