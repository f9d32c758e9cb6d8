"""Show a build on the terminal: the builder's phases while it runs, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from carve_export.tensorrt.build import EngineOptions, build_engines
from carve_export.tensorrt.builder import BuildOptions
from carve_models.engines import EngineManifest


def run_engine(bundle: Path, out: Path, build: Mapping[str, Any], **options: Any) -> None:
    """Build with progress, then print what was built for which sizes.

    Args:
        bundle: the bundle's folder.
        out: the folder of engines.
        build: fields of :class:`BuildOptions`.
        **options: fields of :class:`EngineOptions`.
    """
    console, chosen = Console(), EngineOptions(build=BuildOptions(**build), **options)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        shown: dict[str, Any] = {}

        def on_graph(graph: str) -> None:
            shown.clear()
            for task in progress.task_ids:
                progress.remove_task(task)
            shown[""] = progress.add_task(graph, total=None)

        def on_progress(phase: str, done: int, steps: int) -> None:
            if phase not in shown:
                shown[phase] = progress.add_task(f"  {phase}", total=steps)
            progress.update(shown[phase], completed=done, visible=done < steps)

        manifest = build_engines(bundle, out, chosen, on_graph=on_graph, on_progress=on_progress)
    _print(console, out, manifest)


def _print(console: Console, out: Path, manifest: EngineManifest) -> None:
    title = f"{manifest.target} {manifest.version}, {manifest.precision}"
    table = Table(title=f"{title}, compute capability {', '.join(manifest.compute_capabilities)}")
    table.add_column("graph")
    table.add_column("MB", justify="right")
    table.add_column("sizes, smallest : usual : largest")
    for graph, engine in manifest.engines.items():
        ranges = [f"{name} {':'.join(map(str, sizes))}" for name, sizes in engine.ranges.items()]
        table.add_row(graph, f"{manifest.files[engine.file].size / 1e6:.1f}", "\n".join(ranges))
    console.print(table)
    console.print(f"{out}: {len(manifest.engines)} engines", highlight=False)
