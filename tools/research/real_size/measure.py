"""Time and memory of a piece of work in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KILOBYTE = 1024
_EVERY = 0.05  # seconds


@dataclass(frozen=True)
class Stage:
    """What a piece of work took, in a process of its own.

    Attributes:
        name: what was done.
        seconds: how long it took, imports included.
        own_bytes: largest memory of its own (``RssAnon``).
        mapped_bytes: largest part of files in memory (``RssFile``), which the system can drop.
        result: what the work returned.
    """

    name: str
    seconds: float
    own_bytes: int
    mapped_bytes: int
    result: Any


def measured(name: str, work: Callable[..., Any], *args: Any) -> Stage:
    """Run some work in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, *args))
    start = time.perf_counter()
    process.start()
    sender.close()
    own = mapped = 0
    while not receiver.poll(_EVERY):
        found = _memory(process.pid)
        own, mapped = max(own, found["RssAnon"]), max(mapped, found["RssFile"])
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{name} failed, see above") from None
    process.join()
    return Stage(name, time.perf_counter() - start, own, mapped, result)


def _send(sender: Any, work: Callable[..., Any], *args: Any) -> None:
    sender.send(work(*args))


def _memory(pid: int | None) -> dict[str, int]:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    rows = dict(row.split(":", 1) for row in status if ":" in row)
    return {
        name: int(rows.get(name, "0 kB").split()[0]) * _KILOBYTE for name in ("RssAnon", "RssFile")
    }
