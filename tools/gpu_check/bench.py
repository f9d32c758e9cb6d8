"""What every section is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from carve_eval.reporting.tables import Table
from tools.gpu_check.device import Device
from tools.gpu_check.subject import Subject


@dataclass
class Bench:
    """Where and how much to measure.

    Attributes:
        prepared: what :mod:`tools.gpu_check.prepare` wrote.
        out: folder for results.
        device: where everything computes.
        rounds: of each measurement.
        warm: rounds before, which do not count.
        general_steps: lengths of the released code's general pass that are measured.
        open: the models that have weights.
        failed: why others have none.
    """

    prepared: Path
    out: Path
    device: Device
    rounds: int
    warm: int
    general_steps: tuple[int, ...]
    open: dict[str, Subject] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def subject(self, name: str) -> Subject:
        """Return a model; its weights are made when it is first asked for.

        Raises:
            RuntimeError: they could not be made before.
        """
        if name in self.failed:
            raise RuntimeError(f"there are no weights: {self.failed[name]}")
        if name not in self.open:
            try:
                self.open[name] = Subject(name, self.prepared / name, self.device)
            except Exception as error:
                self.failed[name] = repr(error)
                raise
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
