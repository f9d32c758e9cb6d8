"""Export a model of its true size, with random weights, and answer once: times, memory, sizes.

python -m tools.research.real_size qwen2.5-vl-3b
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tools.research.real_size.measure import measured
from tools.research.real_size.stages import answer, export, make
from tools.research.real_size.subjects import SUBJECTS

_GIGABYTE = 1e9


@click.command()
@click.argument("name", type=click.Choice(list(SUBJECTS)))
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/real-size"),
    show_default=True,
    help="Where checkpoint, bundle and report go.",
)
@click.option("--depth", type=int, help="Fewer layers in text model and vision encoder each.")
@click.option("--export-only", is_flag=True, help="Do not answer.")
def main(name: str, folder: Path, depth: int | None, export_only: bool) -> None:
    """Export NAME with random weights in FOLDER, answer once, and report.

    With fewer layers the export is compared with PyTorch, in full depth it is not.
    """
    console = Console()
    folder /= name if depth is None else f"{name}-depth-{depth}"
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    stages = []
    works: list[tuple[Any, ...]] = [
        ("write the checkpoint", make, name, checkpoint, depth),
        (
            "export" if depth is None else "export and compare",
            export,
            checkpoint,
            bundle,
            depth is None,
        ),
    ]
    if not export_only:
        works.append(("load and answer", answer, bundle))
    for work in works:
        console.print(f"{work[0]} ...")
        stages.append(measured(*work))
    table = Table("stage", "seconds", "own memory, GB", "files in memory, GB", "on disk, GB")
    for stage in stages:
        figures = [stage.seconds, stage.own_bytes / _GIGABYTE, stage.mapped_bytes / _GIGABYTE]
        size = stage.result.get("bytes")
        on_disk = "" if size is None else f"{size / _GIGABYTE:.2f}"
        table.add_row(stage.name, *(f"{figure:.2f}" for figure in figures), on_disk)
    console.print(table)
    report = folder / "report.json"
    report.write_text(json.dumps([asdict(stage) for stage in stages], indent=1, default=float))
    console.print(f"details: {report}")


if __name__ == "__main__":
    main()
