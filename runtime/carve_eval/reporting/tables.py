"""Tables that go to the terminal, to Markdown and to JSON alike."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from carve_eval.reporting.interval import Interval

#: P-values below this are printed as "< 0.001".
_SMALLEST_P = 0.001
#: Of tables that do not go to a terminal, in characters.
_WIDTH = 160


@dataclass(frozen=True)
class P:
    """A p-value."""

    p: float

    def __str__(self) -> str:
        return f"{self.p:.3f}" if self.p >= _SMALLEST_P else f"< {_SMALLEST_P}"


Cell: TypeAlias = Union[str, int, float, Interval, P, None]  # noqa: UP007 - for 3.10
Row: TypeAlias = Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """A table; the first column holds the rows' labels. It survives msgspec's JSON.

    Attributes:
        name: what other pages call it.
        title: what it shows.
        columns: headings.
        rows: one cell for each column; shares are in percent.
        note: how to read it.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=escape(self.title), box=SIMPLE_HEAD, caption=escape(self.note))
        table.title_justify = table.caption_justify = "left"
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*(escape(spell(cell)) for cell in row))
        console.print(table)

    def markdown(self) -> str:
        """Return heading, rows and note."""
        return "\n\n".join(filter(None, (f"## {self.title}", self.grid(), self.note))) + "\n"

    def grid(self) -> str:
        """Return the rows alone as Markdown."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)]]
        lines += [[spell(cell) for cell in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def cell(self, label: str, column: str) -> Cell:
        """Return the cell of the row with a label.

        Raises:
            ValueError: there is no such row or column.
        """
        index = list(self.columns).index(column)
        rows = [row for row in self.rows if row[0] == label]
        if len(rows) != 1:
            raise ValueError(f"the table {self.name} has {len(rows)} rows {label!r}")
        return rows[0][index]


def interval_cell(interval: Interval) -> Cell:
    """Return an interval as JSON can hold it: as text where an end is infinite."""
    return interval if all(map(math.isfinite, interval)) else spell(interval)


def spell(cell: Cell) -> str:
    """Return a cell as it is printed."""
    if cell is None:
        return ""
    if isinstance(cell, Interval):
        ends = f" [{cell.low:.1f}, {cell.high:.1f}]" if math.isfinite(cell.low) else ""
        return f"{cell.estimate:.1f}{ends}"
    if isinstance(cell, float):
        return "-" if math.isnan(cell) else f"{cell:.1f}"
    return str(cell)


def open_console() -> Console:
    """Return a console for tables: as wide as the terminal, or of a fixed width elsewhere."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDTH)
