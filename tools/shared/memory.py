"""Time and memory of a function in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

_KILOBYTE = 1024
_EVERY = 0.05  # seconds


@dataclass(frozen=True)
class Stage:
    """What a function took, in a process of its own.

    Attributes:
        name: what was done.
        seconds: how long it took, imports included.
        own_bytes: largest memory of its own (``RssAnon``).
        mapped_bytes: largest part of files in memory (``RssFile``), which the system can drop.
        result: what the function returned.
    """

    name: str
    seconds: float
    own_bytes: int
    mapped_bytes: int
    result: Any


def measured(name: str, work: Callable[..., Any], *args: Any) -> Stage:
    """Run a function in a process of its own, whose memory is looked at time and again."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, *args))
    start = time.perf_counter()
    process.start()
    sender.close()
    own = mapped = 0
    while not receiver.poll(_EVERY):
        memory = memory_of(str(process.pid))
        own, mapped = max(own, memory["RssAnon"]), max(mapped, memory["RssFile"])
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{name} failed, see above") from None
    process.join()
    return Stage(name, time.perf_counter() - start, own, mapped, result)


def peak_of(work: Callable[..., Any], *args: Any, imports: Sequence[str] = ()) -> tuple[int, Any]:
    """Return the bytes that a function adds to a process's peak, and what it returns.

    Args:
        work: the function.
        args: its arguments.
        imports: modules to import before; their memory does not count.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (tuple(imports), work, *args))


def _send(sender: Any, work: Callable[..., Any], *args: Any) -> None:
    sender.send(work(*args))


def _peak(imports: Sequence[str], work: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    for module in imports:
        import_module(module)
    before = memory_of()["VmHWM"]
    result = work(*args)
    return memory_of()["VmHWM"] - before, result


def memory_of(process: str = "self") -> dict[str, int]:
    """Return the bytes that the system reports of a process, by row; none of one that has ended."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    rows = dict(row.split(":", 1) for row in status if ":" in row)
    names = ("RssAnon", "RssFile", "VmHWM", "VmRSS", "VmSize")
    return {name: int(rows.get(name, "0 kB").split()[0]) * _KILOBYTE for name in names}
