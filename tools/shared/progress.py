"""Progress on the terminal, log lines in a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def start_log(path: Path) -> None:
    """Append the log of this run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )


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
