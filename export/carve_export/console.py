"""Show an export on the terminal: progress while it runs, a table of differences at the end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import transformers
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from carve_export.exporter import ExportOptions, ExportReport, export_bundle


def run_export(checkpoint: str, out: Path, **options: Any) -> None:
    """Export with progress; ``options`` are the fields of :class:`ExportOptions`."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    console = Console()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        running: list[Any] = []

        def on_stage(stage: str) -> None:
            for task in running:
                progress.update(task, total=1, completed=1)
            running[:] = [progress.add_task(stage, total=None)]

        report = export_bundle(checkpoint, out, ExportOptions(**options), on_stage=on_stage)
        on_stage("done")
        progress.update(running[0], total=1, completed=1)
    _print_report(console, report)


def _print_report(console: Console, report: ExportReport) -> None:
    table = Table("output", "max |difference|", "allowed", title="ONNX Runtime against PyTorch")
    for row in report.comparisons:
        table.add_row(row.name, f"{row.difference:.2e}", f"{row.tolerance * row.scale:.2e}")
    console.print(table)
    size = sum(entry.size for entry in report.manifest.files.values()) / 1e6
    console.print(f"{report.folder}: {len(report.manifest.files)} files, {size:.1f} MB")
    layers = ", ".join(map(str, report.manifest.decoder.tapped_layers))
    suffix = report.manifest.prompts.suffix or "none"
    console.print(f"exposed layers: {layers}; suffix of every question: {suffix}")
    console.print(f'next: carve-run ask {report.folder} IMAGE "QUESTION"', highlight=False)
