"""Try inputs in a process of their own, and say what came of each."""

from __future__ import annotations

import faulthandler
import os
import resource
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from hypothesis import HealthCheck, Phase, given, seed, settings

from carve_models.errors import CarveError
from tests.fuzz.surface import CrashError, RefusedError, Surface, prepare
from tools.shared.memory import memory_of

Outcome = Literal["answered", "typed error", "untyped error", "crash", "hang", "memory"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
#: What an input may lead to; the rest are findings.
FINE: tuple[Outcome, ...] = ("answered", "typed error")

#: Bytes that one input may add to the memory of the process.
MOST_BYTES = 2 << 30
_TYPED = (CarveError, RefusedError)


@dataclass(frozen=True)
class Trial:
    """What one input has led to.

    Attributes:
        outcome: see :data:`Outcome`.
        seconds: until then.
        peak: bytes that it added to the memory of the process, at most.
        message: what was raised, or the end of what was printed.
        data: the input, of a finding.
    """

    outcome: Outcome
    seconds: float = 0.0
    peak: int = 0
    message: str = ""
    data: bytes = b""


@dataclass(frozen=True)
class Stored:
    """Inputs in files."""

    files: tuple[Path, ...]

    def inputs(self, _: Surface, start: int) -> Iterator[bytes]:
        """Yield the inputs from a number on."""
        return (file.read_bytes() for file in self.files[start:])


@dataclass(frozen=True)
class Generated:
    """Inputs that a surface makes: the same ones for the same seed and size of batch.

    Attributes:
        seed: another one gives other inputs.
        batch: how many hypothesis makes at a time; it remembers them, to tell them apart.
    """

    seed: int
    batch: int = 250

    def inputs(self, surface: Surface, start: int) -> Iterator[bytes]:
        """Yield the inputs from a number on."""
        first, skipped = divmod(start, self.batch)
        batches = (self._batch(surface, number) for number in count(first))
        return islice((data for batch in batches for data in batch), skipped, None)

    def _batch(self, surface: Surface, number: int) -> list[bytes]:
        drawn: list[bytes] = []

        @seed(f"{self.seed} {number}")
        @settings(
            max_examples=self.batch,
            phases=(Phase.generate,),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(surface.inputs)
        def draw(data: bytes) -> None:
            drawn.append(data)

        draw()
        if len(drawn) < self.batch:
            raise ValueError(f"the surface has only {len(drawn)} different inputs")
        return drawn[: self.batch]


@dataclass(frozen=True)
class Mixed:
    """Inputs in files, and behind them some that a surface makes."""

    stored: Stored
    generated: Generated

    def inputs(self, surface: Surface, start: int) -> Iterator[bytes]:
        """Yield the inputs from a number on."""
        behind = max(start - len(self.stored.files), 0)
        return chain(self.stored.inputs(surface, start), self.generated.inputs(surface, behind))


class Source(Protocol):
    """Where inputs come from; it goes into the process that tries them."""

    def inputs(self, surface: Surface, start: int) -> Iterator[bytes]:
        """Yield the inputs of a surface from a number on."""
        ...


def work(name: str, source: Source, start: int, folder: Path, sender: Any) -> None:
    """Try a surface's inputs from a number on, in a process that was started for it.

    ``None`` goes through the pipe before each input, which lies in ``folder / "input"`` by then,
    and a :class:`Trial` after it.
    """
    os.setsid()  # what is started from here goes with this process
    with (folder / "log").open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    faulthandler.enable()
    surface = prepare(name, folder / "surface")
    limit = memory_of()["VmSize"] + 2 * MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for data in source.inputs(surface, start):
        (folder / "input").write_bytes(data)
        sender.send(None)
        sender.send(_tried(surface, data))
    sender.close()


def _tried(surface: Surface, data: bytes) -> Trial:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before, begin = memory_of()["VmRSS"], time.perf_counter()
    outcome, message = _outcome(surface, data)
    seconds, peak = time.perf_counter() - begin, max(memory_of()["VmHWM"] - before, 0)
    if peak > MOST_BYTES:
        outcome, message = "memory", f"{peak} bytes; {outcome} {message}"
    return Trial(outcome, seconds, peak, message, b"" if outcome in FINE else data)


def _outcome(surface: Surface, data: bytes) -> tuple[Outcome, str]:
    try:
        surface.use(data)
    except KeyboardInterrupt:
        raise
    except _TYPED as error:
        return "typed error", str(error)
    except CrashError as error:
        return "crash", str(error)
    except MemoryError:
        return "memory", traceback.format_exc()
    except BaseException:  # panics of Rust derive from it
        return "untyped error", traceback.format_exc()
    return "answered", ""
