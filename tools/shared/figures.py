"""What a line of the table says, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carve_eval.reporting.tables import Table
from tools.shared.machine import Machine
from tools.shared.timing import Spread


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        line: the line of the table that it belongs to.
        what: which model and case.
        value: with its spread; ``None`` if it could not be measured, ``note`` then says why.
        unit: "x" for ratios, "s", "MB".
        reach: the bound to reach, ``None`` if there is none.
        at_least: whether the bound is a lower one.
        note: what else there is to say.
    """

    line: str
    what: str
    value: Spread | None
    unit: str = "x"
    reach: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the bound; ``None`` without either."""
        if self.value is None or self.reach is None:
            return None
        return (self.value.median >= self.reach) == self.at_least or self.value.median == self.reach


@dataclass(frozen=True)
class SpeedReport:
    """What ``figures.json`` holds. It survives msgspec's JSON.

    Attributes:
        source: the command that measured.
        machine: where.
        figures: every line.
    """

    source: str
    machine: Machine
    figures: Sequence[Figure]


def tabulate(figures: Sequence[Figure]) -> Table:
    """Return the table; it has a column for bounds if there are any."""
    columns = ("what", "measured", "to be reached")
    rows = [(f"{row.line}: {row.what}", _measured(row), _reach(row)) for row in figures]
    shown = len(columns) if any(reach for *_, reach in rows) else len(columns) - 1
    note = "Medians, quartiles in brackets; ratios are taken round by round."
    return Table("speed", "Speed", columns[:shown], [row[:shown] for row in rows], note)


def _measured(figure: Figure) -> str:
    if figure.value is None:
        return figure.note
    median, low, high = figure.value.median, figure.value.low, figure.value.high
    note = f"; {figure.note}" if figure.note else ""
    return f"{median:.3g} {figure.unit} ({low:.3g} .. {high:.3g}){note}"


def _reach(figure: Figure) -> str:
    if figure.reach is None:
        return ""
    missed = ", missed" if figure.reached is False else ""
    return f"{'≥' if figure.at_least else '≤'} {figure.reach:.3g}{missed}"
