"""What every line is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tools.bench.subjects import Subject, pocket, real_proportions


@dataclass(frozen=True)
class Context:
    """How to measure.

    Attributes:
        work: folder for models that are made once, plots and figures.
        rounds: rounds of each measurement.
        quick: take the smallest model and the shortest cases: a smoke test.
    """

    work: Path
    rounds: int
    quick: bool

    @cached_property
    def subjects(self) -> list[Subject]:
        """The models, small one first."""
        return [pocket()] if self.quick else [pocket(), real_proportions(self.work)]

    @property
    def largest(self) -> Subject:
        """The model of real proportions; pocket in a smoke test."""
        return self.subjects[-1]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Forced answer lengths, in tokens."""
        return (1,) if self.quick else (1, 4, 16)
