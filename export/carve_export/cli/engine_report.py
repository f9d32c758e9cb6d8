"""What a build of TensorRT engines shows: the builder's phases, and a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from carve_export.tensorrt.builder import OnProgress
from carve_models.engines import EngineManifest


@contextmanager
def build_progress(console: Console) -> Iterator[tuple[Callable[[str], None], OnProgress]]:
    """Show the graph that is built and the builder's phases.

    Yields:
        ``on_graph`` and ``on_progress`` of :func:`carve_export.tensorrt.build.build_engines`.
    """
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

        yield on_graph, on_progress


def engine_table(manifest: EngineManifest) -> Table:
    """Return what was built, for which sizes."""
    title = f"{manifest.target} {manifest.version}, {manifest.precision}"
    table = Table(title=f"{title}, compute capability {', '.join(manifest.compute_capabilities)}")
    table.add_column("graph")
    table.add_column("MB", justify="right")
    table.add_column("sizes, smallest : usual : largest")
    for graph, engine in manifest.engines.items():
        ranges = [f"{name} {':'.join(map(str, sizes))}" for name, sizes in engine.ranges.items()]
        table.add_row(graph, f"{manifest.files[engine.file].size / 1e6:.1f}", "\n".join(ranges))
    return table
