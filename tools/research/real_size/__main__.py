"""Export a model of its true size, with random weights, and answer once: times, memory, sizes.

python -m tools.research.real_size qwen2.5-vl-3b
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tools.research.real_size.models import MODELS
from tools.research.real_size.stages import answer, export, make
from tools.shared.files import write_json
from tools.shared.memory import measured
from tools.shared.tables import Table, open_console

_GIGABYTE = 1e9


@click.command()
@click.argument("name", type=click.Choice(list(MODELS)))
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
    console = open_console()
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
    rows = []
    for stage in stages:
        sizes = (stage.own_bytes, stage.mapped_bytes, stage.result.get("bytes"))
        gigabytes = ("" if size is None else f"{size / _GIGABYTE:.2f}" for size in sizes)
        rows.append([stage.name, f"{stage.seconds:.2f}", *gigabytes])
    columns = ("stage", "seconds", "own memory, GB", "files in memory, GB", "on disk, GB")
    Table("stages", name, columns, rows).show(console)
    write_json(folder / "report.json", stages)
    console.print(f"details: {folder / 'report.json'}")


if __name__ == "__main__":
    main()
