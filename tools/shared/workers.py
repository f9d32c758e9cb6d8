"""Work on many pictures at once, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

from carve_eval.reporting.progress import progress

A = TypeVar("A")
B = TypeVar("B")


def in_order(work: Callable[[A], B], items: Sequence[A], title: str) -> Iterator[B]:
    """Yield what ``work`` makes of each item; threads, since graphs and Pillow release the lock."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            for future in progress(running, title):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
