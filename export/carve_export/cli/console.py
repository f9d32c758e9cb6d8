"""Show an export on the terminal: progress while it runs, a table of differences at the end."""

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

from carve_export.check.parity import Comparison, require_parity
from carve_export.check.verify import verify_bundle
from carve_export.exporter import ExportOptions, ExportReport, export_bundle
from carve_export.precision.quality import lower_bundle
from carve_models.manifest import Quality


def run_export(checkpoint: str, out: Path, **options: Any) -> None:
    """Export with progress; ``options`` are the fields of :class:`ExportOptions`."""
    console = Console()
    with _progress(console) as on_stage:
        report = export_bundle(checkpoint, out, ExportOptions(**options), on_stage=on_stage)
    _print_report(console, report)


def run_verify(folder: Path, checkpoint: str, **options: Any) -> None:
    """Compare a bundle with its checkpoint; ``options`` as for :func:`verify_bundle`.

    Raises:
        ParityError: an output differs by more than the tolerance.
    """
    console = Console()
    with _progress(console) as on_stage:
        comparisons = verify_bundle(folder, checkpoint, on_stage=on_stage, **options)
    console.print(_table(comparisons))
    require_parity(comparisons)
    console.print(f"{folder} reproduces {checkpoint}", highlight=False)


def run_precision(
    folder: Path, out: Path, precisions: tuple[str, ...], calibration: Path, *, overwrite: bool
) -> None:
    """Lower a bundle's precision with progress, and print what it costs."""
    console = Console()
    with _progress(console) as on_stage:
        manifest = lower_bundle(
            folder, out, precisions, calibration, overwrite=overwrite, on_stage=on_stage
        )
    if manifest.quality is not None:
        console.print(quality_table(manifest.quality))
    console.print(f"{out} is written", highlight=False)


def quality_table(quality: Quality) -> Table:
    """Return what lower precision costs; right answers and pointing where they are known."""
    lowered = ", ".join(f"{part} {one}" for part, one in quality.precision.items())
    table = Table(title=f"against float32: {lowered}", show_header=False)
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


def _beside(share: float | None, usual: float | None) -> str:
    return "" if share is None or usual is None else f"{share:.1%} (float32 {usual:.1%})"


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show stages while they run, with their times; the libraries stay quiet."""
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


def _table(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="ONNX Runtime against PyTorch")
    for column in ("graph", "output", "max |diff|", "allowed", "argmax", "seconds"):
        table.add_column(column, no_wrap=column != "output")
    for row in comparisons:
        same = {True: "equal", False: "differs", None: ""}[row.same_argmax]
        table.add_row(
            row.graph,
            row.name,
            f"{row.difference:.2e}",
            f"{row.tolerance * row.scale:.2e}",
            same,
            f"{row.seconds:.3f}",
        )
    return table


def _print_report(console: Console, report: ExportReport) -> None:
    if report.comparisons:
        console.print(_table(report.comparisons))
    else:
        console.print("not compared with PyTorch: run carve-export verify", style="yellow")
    if report.manifest.quality is not None:
        console.print(quality_table(report.manifest.quality))
    size = sum(entry.size for entry in report.manifest.files.values()) / 1e6
    console.print(f"{report.folder}: {len(report.manifest.files)} files, {size:.1f} MB")
    layers = ", ".join(map(str, report.manifest.decoder.tapped_layers))
    suffix = report.manifest.prompts.suffix or "none"
    console.print(f"exposed layers: {layers}; suffix of every question: {suffix}")
    console.print(f'next: carve-run ask {report.folder} IMAGE "QUESTION"', highlight=False)
