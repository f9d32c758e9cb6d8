"""Tables that go to the terminal, to Markdown and to JSON alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from tools.shared.statistics import Interval

Cell: TypeAlias = "str | int | float | Interval | None"
#: P-values below this are printed as "< 0.001".
_SMALLEST_P = 0.001


@dataclass(frozen=True)
class P:
    """A p-value."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self.value >= _SMALLEST_P else f"< {_SMALLEST_P}"


@dataclass(frozen=True)
class Table:
    """A table; the first column holds the rows' labels.

    Attributes:
        name: its key in the JSON file.
        title: what it shows.
        columns: headings.
        rows: one cell for each column; shares are in percent.
        note: how to read it.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | P]]
    note: str = ""

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, box=SIMPLE_HEAD, caption=self.note)
        table.title_justify = table.caption_justify = "left"
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*map(_spell, row))
        console.print(table)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)]]
        lines += [[_spell(cell) for cell in row] for row in self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")

    def data(self) -> dict[str, Any]:
        """Return it for JSON: a list of rows by column."""
        plain = [[cell.value if isinstance(cell, P) else cell for cell in row] for row in self.rows]
        rows = [dict(zip(self.columns, row, strict=True)) for row in plain]
        return {"title": self.title, "rows": rows, "note": self.note}


def _spell(cell: Cell | P) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Interval):
        return f"{cell.estimate:.1f} [{cell.low:.1f}, {cell.high:.1f}]"
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)
