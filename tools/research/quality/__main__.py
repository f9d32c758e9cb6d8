"""Measure what CARVE does for a bundle on pocket's questions: tables, JSON and plots.

python -m tools.research.quality
python -m tools.research.quality --part dev --quick --bundle my-bundle
python -m tools.research.quality --write     # and fill the pages that quote the figures
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import matplotlib as mpl

from carve_eval.reporting.tables import Table, open_console
from carve_models.cli import ErrorCommand
from carve_models.replacing import write_json
from carve_runtime.bundle import open_bundle
from tools.checks.figures import IMAGES, publish
from tools.research.pocket.world.cases import Part
from tools.research.quality import breakdown, grids, headline, plots
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.goals import goals
from tools.research.quality.study import Size, Study
from tools.shared.report import Report

_COMMAND = "python -m tools.research.quality"
_QUICK = Size(pictures=10, grid=5)


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
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/quality"))
@click.option("--write", is_flag=True, help="Put figures and plots into the documentation.")
def main(
    bundle: Path | None,
    part: Part,
    pictures: int,
    grid_pictures: int,
    quick: bool,
    out: Path,
    write: bool,
) -> None:
    """Measure a bundle; the same command again goes on where an interrupted one stopped."""
    if write and (quick or bundle or part != "test"):
        raise click.UsageError("--write is for the whole test part of the default bundle")
    cached = CachedBundle(open_bundle(bundle), out / "cache")
    study = Study(cached, part, _QUICK if quick else Size(pictures, grid_pictures))
    folder = out / (f"{part}-quick" if quick else part)
    console = open_console()
    tables = []
    for table in filter(None, measure(study)):
        table.show(console)
        tables.append(table)
    report = Report(_COMMAND, tables, asdict(study.defaults))
    write_json(folder / "figures.json", report)
    (folder / "tables.md").write_text(f"# Quality on the {part} part\n\n{report.markdown()}")
    plot(study, report, folder)
    console.print(f"saved in {folder}")
    if write:
        publish("quality", report)
        for image in (IMAGES / "quality").iterdir():
            shutil.copyfile(folder / image.name, image)


def measure(study: Study) -> Iterator[Table | None]:
    """Yield every table; ``None`` for one that the bundle gives no reason for."""
    yield goals(study)
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


def plot(study: Study, report: Report, folder: Path) -> None:
    """Draw the main tables."""
    mpl.use("Agg")
    plots.plot_kinds(report.table("kinds"), folder / "kinds.png")
    plots.plot_grid(report.table("share_regions"), folder / "share_regions.png")
    plots.plot_bins(report.table("entropy_accuracy"), folder / "entropy_accuracy.png")
    plots.plot_bins(report.table("clutter"), folder / "clutter.png")
    plots.plot_entropy(study, folder / "entropy_complexity.png")


if __name__ == "__main__":
    main()
