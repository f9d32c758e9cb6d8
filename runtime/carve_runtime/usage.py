"""What a question costs: seconds by stage, graph runs and tokens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import perf_counter

_log = logging.getLogger(__name__)

#: Every key that an answer's timings may have.
STAGES = (
    *("decode", "preprocess", "vision", "prefix", "question", "general", "refine", "final"),
    "total",
)


class Stopwatch:
    """Adds up wall-clock seconds under stage names."""

    def __init__(self) -> None:
        self._start = perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + perf_counter() - start

    def timings(self) -> dict[str, float]:
        """Return seconds by stage and, as "total", since the start."""
        return self._seconds | {"total": perf_counter() - self._start}

    def finish(self) -> dict[str, float]:
        """Log and return the timings of an answer."""
        timings = self.timings()
        _log.info("answered: %s", ", ".join(f"{name} {s:.3f} s" for name, s in timings.items()))
        return timings


@dataclass
class Counts:
    """Work done so far, for one question.

    Attributes:
        vision_runs: images encoded.
        decoder_runs: chunks of positions that went through the decoder or its upper half.
        decoder_tokens: positions that went through its first layer.
        layer_tokens: positions times layers that they went through.
        bytes_copied: bytes of keys and values that were moved, not computed.
    """

    vision_runs: int = 0
    decoder_runs: int = 0
    decoder_tokens: int = 0
    layer_tokens: int = 0
    bytes_copied: int = 0

    def add(self, other: Counts) -> None:
        """Add another question's work."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True)
class Usage:
    """The cost of one question so far; all passes add to it."""

    clock: Stopwatch = field(default_factory=Stopwatch)
    counts: Counts = field(default_factory=Counts)
