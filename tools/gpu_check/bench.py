"""What every section is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.gpu_check.place import Place
from tools.gpu_check.subject import Subject
from tools.shared.tables import Table


@dataclass
class Bench:
    """Where and how much to measure.

    Attributes:
        prepared: what :mod:`tools.gpu_check.prepare` wrote.
        out: folder for results.
        place: where everything computes.
        rounds: of each measurement.
        warm: rounds before, which do not count.
        general_steps: lengths of the released code's general pass that are measured.
        open: the models that have weights.
    """

    prepared: Path
    out: Path
    place: Place
    rounds: int
    warm: int
    general_steps: tuple[int, ...]
    open: dict[str, Subject] = field(default_factory=dict)

    def subject(self, name: str) -> Subject:
        """Return a model; its weights are made when it is first asked for."""
        if name not in self.open:
            self.open[name] = Subject(name, self.prepared / name, self.place)
        return self.open[name]

    def close(self) -> None:
        """Free all models."""
        while self.open:
            self.open.popitem()[1].close()


@dataclass(frozen=True)
class Section:
    """One part of the check.

    Attributes:
        name: as in the table of sections.
        run: returns its tables.
        least: it is not begun with fewer seconds left.
    """

    name: str
    run: Callable[[Bench], Sequence[Table]]
    least: float = 0.0
