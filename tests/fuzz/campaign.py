"""Watch over the processes that try inputs: they may crash, hang and be killed; this goes on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from tests.fuzz.child import Source, Trial, work

#: Seconds that one input may take.
MOST_SECONDS = 20.0
#: Seconds until a surface is ready and inputs are made, on a busy machine.
_READY = 600.0
#: Seconds in which a process says where it hangs.
_LAST_WORDS = 2.0
_TAIL = 4000  # characters of what it said


def trials(
    name: str,
    source: Source,
    folder: Path,
    *,
    start: int = 0,
    stop: int | None = None,
    most_seconds: float = MOST_SECONDS,
) -> Iterator[Trial]:
    """Yield what comes of each input of a surface, from number ``start`` to before ``stop``.

    Args:
        name: of the surface.
        source: of the inputs.
        folder: for files, removed in between.
        start: number of the first input.
        stop: number behind the last; all that there are if ``None``.
        most_seconds: what takes longer hangs.

    Raises:
        RuntimeError: the surface cannot be prepared.
    """
    done = start
    while stop is None or done < stop:
        left = None if stop is None else stop - done
        ended = False
        with _child(name, source, done, folder) as receiver:
            for trial in islice(_received(receiver, folder, most_seconds), left):
                done += 1
                yield trial
                if trial.outcome in ("crash", "hang", "memory"):
                    break
            else:
                ended = True
        if ended:
            return


def _received(child: tuple[Any, Any], folder: Path, most_seconds: float) -> Iterator[Trial]:
    """Yield what a process reports, and what its silence means."""
    process, receiver = child
    while True:
        try:
            if not receiver.poll(_READY):
                raise RuntimeError(f"no input was made within {_READY:.0f} s")
            receiver.recv()
        except EOFError:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"the surface cannot be used:\n{_said(folder)}") from None
            return
        begin = time.perf_counter()
        try:
            if receiver.poll(most_seconds):
                yield receiver.recv()
                continue
        except EOFError:
            process.join()
            seconds = time.perf_counter() - begin
            data = (folder / "input").read_bytes()
            message = f"exit code {process.exitcode}\n{_said(folder)}"
            yield Trial("crash", seconds, message=message, data=data)
            return
        os.kill(process.pid, signal.SIGABRT)  # Python says where it is
        process.join(_LAST_WORDS)
        data = (folder / "input").read_bytes()
        yield Trial("hang", most_seconds, message=_said(folder), data=data)
        return


@contextmanager
def _child(name: str, source: Source, start: int, folder: Path) -> Iterator[tuple[Any, Any]]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(name, source, start, folder, sender))
    process.start()
    assert process.pid is not None
    sender.close()
    try:
        yield process, receiver
    finally:
        receiver.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.kill()
        process.join()
        shutil.rmtree(folder, ignore_errors=True)


def _said(folder: Path) -> str:
    return (folder / "log").read_bytes()[-_TAIL:].decode(errors="replace")
