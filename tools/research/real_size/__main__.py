"""Export a model of its true size, with random weights, and answer once: times, memory, sizes.

python -m tools.research.real_size qwen2.5-vl-3b
python -m tools.research.real_size llava-1.5-7b --dtype float16 --export-only
python -m tools.research.real_size llava-1.5-7b --depth 2 --dtype float16 --lower int4-only
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from carve_eval.reporting.tables import Table, open_console
from carve_models.replacing import write_json
from tools.research.real_size.models import MODELS, layers_of
from tools.research.real_size.stages import answer, export, lower, make
from tools.shared.memory import measured

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
@click.option(
    "--dtype",
    type=click.Choice(["float16", "bfloat16"]),
    help="What the bundle computes in. If left out, matrices are stored in float16, and widened.",
)
@click.option("--lower", "precision", help="Lower the bundle to PRECISION; needs --dtype.")
@click.option(
    "--questions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Whose prompts calibrate it.",
)
def main(
    name: str,
    folder: Path,
    depth: int | None,
    export_only: bool,
    dtype: str | None,
    precision: str | None,
    questions: int,
) -> None:
    """Export NAME with random weights in FOLDER, answer once, and report.

    With fewer layers the export is compared with PyTorch, in full depth it is not, nor if it is
    lowered.
    """
    if precision is not None and dtype is None:
        raise click.UsageError("--lower needs --dtype: a model of this size has no float32 bundle")
    console = open_console()
    folder /= name if depth is None else f"{name}-depth-{depth}"
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    compared = depth is not None and precision is None
    stages = []
    works: list[tuple[Any, ...]] = [
        ("write the checkpoint", make, name, checkpoint, depth),
        (
            "export and compare" if compared else "export",
            export,
            checkpoint,
            bundle,
            not compared,
            dtype,
        ),
    ]
    if precision is not None:
        lowered = folder / "lowered"
        works.append((f"lower to {precision}", lower, bundle, lowered, precision, questions))
        bundle = lowered
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
    if precision is not None:
        lowered_in = stages[2].result
        for kind in ("seconds", "cpu_seconds"):
            rows += _graphs(kind, lowered_in[kind], layers_of(name), depth)
    columns = ("stage", "seconds", "own memory, GB", "files in memory, GB", "on disk, GB")
    Table("stages", name, columns, rows).show(console)
    write_json(folder / "report.json", stages)
    console.print(f"details: {folder / 'report.json'}")


def _graphs(
    kind: str, seconds: Mapping[str, float], layers: Mapping[str, int], depth: int | None
) -> list[list[str]]:
    """Return what graphs took to lower and, if they have fewer layers, would take with all."""
    rows = []
    for graph, full in layers.items():
        taken = seconds[f"lower {graph}"]
        rows.append([f"{graph}, {depth or full} layers, {kind}", f"{taken:.0f}"])
        if depth is not None:
            rows.append([f"{graph}, {full} layers at this pace", f"{taken / depth * full:.0f}"])
    return [[*row, "", "", ""] for row in rows]


if __name__ == "__main__":
    main()
