"""What the commands that need PyTorch show: their stages, and tables of what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from carve_export.check.parity import Comparison
from carve_export.exporter import ExportReport
from carve_models.manifest import Manifest, Quality

#: Characters of a graph's or output's name that stand on one line at least.
_NAME = 10


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str], None]]:
    """Show stages while they run, with their times; the libraries stay quiet.

    Yields:
        a function to call with the name of each stage when it begins.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        running: list[Any] = []

        def on_stage(stage: str) -> None:
            for task in running:
                progress.update(task, total=1, completed=1)
            running[:] = [progress.add_task(stage, total=None)]

        yield on_stage
        on_stage("done")
        progress.update(running[0], total=1, completed=1)


def print_export(console: Console, report: ExportReport) -> None:
    """Print how close an exported bundle is to PyTorch, what is in it, and how to use it."""
    if report.comparisons:
        console.print(comparison_table(report.comparisons))
    else:
        console.print("not compared with PyTorch: run carve-export verify", style="yellow")
    if report.manifest.quality is not None:
        console.print(quality_table(report.manifest.quality))
    console.print(size_of(report.folder, report.manifest))
    suffix = report.manifest.prompts.suffix or "none"
    console.print(f"exposed: {report.manifest.decoder.tap}; suffix of every question: {suffix}")
    console.print(next_step(report.folder), highlight=False)


def size_of(folder: Path, manifest: Manifest) -> str:
    """Return how large a bundle is."""
    size = sum(entry.size for entry in manifest.files.values()) / 1e6
    return f"{folder}: {len(manifest.files)} files, {size:.1f} MB"


def next_step(folder: Path) -> str:
    """Return how to use a bundle."""
    return f'next: carve-run ask {folder} IMAGE "QUESTION"'


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Return how far a bundle and PyTorch in the bundle's type are from float64."""
    table = Table(title="relative error against PyTorch in float64")
    for column in ("graph", "output"):  # names may take two lines, where a terminal is narrow
        table.add_column(column, overflow="fold", min_width=_NAME)
    for column in ("bundle", "PyTorch", "allowed", "argmax", "seconds"):
        table.add_column(column, no_wrap=True)
    for row in comparisons:
        same = {True: "equal", False: "differs", None: ""}[row.same_argmax]
        table.add_row(
            row.graph,
            row.name,
            f"{row.error:.2e}",
            f"{row.rounding:.2e}",
            f"{row.allowed:.2e}",
            same,
            f"{row.seconds:.3f}",
        )
    return table


def quality_table(quality: Quality) -> Table:
    """Return what lower precision costs; right answers and pointing where they are known."""
    lowered = ", ".join(f"{part} {precision}" for part, precision in quality.precision.items())
    table = Table(title=f"against its source: {lowered}", show_header=False)
    rows = {
        "size": f"{quality.size:.2f}",
        "same answers": f"{quality.answer_agreement:.1%}",
        "same plain answers": f"{quality.plain_agreement:.1%}",
        "mask IoU, mean": f"{quality.mask_overlap:.3f}",
        "mask IoU, least": f"{quality.least_mask_overlap:.3f}",
        "right answers": _beside(quality.right, quality.usual_right),
        "points at the object": _beside(quality.pointing, quality.usual_pointing),
        "questions": str(quality.questions),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _beside(share: float | None, baseline: float | None) -> str:
    return "" if share is None or baseline is None else f"{share:.1%} (source {baseline:.1%})"
