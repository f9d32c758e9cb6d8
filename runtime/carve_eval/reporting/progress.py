"""Progress on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def progress_bars(console: Console | None = None) -> Progress:
    """Return bars that show a description, a count and the time that remains."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


def progress(items: Sequence[T], title: str, done: int = 0) -> Iterator[T]:
    """Yield the items from position ``done`` on, and show how far they are."""
    with progress_bars() as bars:
        task = bars.add_task(title, total=len(items), completed=done)
        for item in items[done:]:
            yield item
            bars.advance(task)
