"""What a surface's inputs have led to so far: kept in a file, so that a campaign goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from carve_eval.reporting.tables import Cell, Table
from carve_models.replacing import write_json
from tests.fuzz.child import FINE, OUTCOMES, Trial

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Tally:
    """Sums over inputs.

    Attributes:
        outcomes: how many inputs led to each.
        seconds: of the slowest input.
        peak: most bytes that an input added to the memory.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    peak: int = 0

    @property
    def inputs(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def findings(self) -> int:
        """How many led to what none should."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in FINE)

    def with_trial(self, trial: Trial) -> Tally:
        """Return the sums with one more input."""
        outcomes = Counter(self.outcomes) + Counter([trial.outcome])
        return replace(
            self,
            outcomes=dict(outcomes),
            seconds=max(self.seconds, trial.seconds),
            peak=max(self.peak, trial.peak),
        )

    def row(self, name: str) -> list[Cell]:
        """Return the surface's row of :func:`table`."""
        counts: list[Cell] = [self.outcomes.get(outcome, 0) for outcome in OUTCOMES]
        return [name, self.inputs, *counts, self.seconds, round(self.peak / _MEGABYTE)]


def read_tally(path: Path) -> Tally:
    """Return what a file holds; of none, that nothing was tried."""
    return msgspec.json.decode(path.read_bytes(), type=Tally) if path.exists() else Tally()


def write_tally(path: Path, tally: Tally) -> None:
    """Write a tally, whole or not at all."""
    write_json(path, tally)


def table(tallies: dict[str, Tally]) -> Table:
    """Return what every surface's inputs have led to."""
    return Table(
        "outcomes",
        "Damaged inputs",
        ("surface", "inputs", *OUTCOMES, "slowest, s", "most memory, MB"),
        [tally.row(name) for name, tally in tallies.items()],
        "Memory: what one input added to the process that read it.",
    )
