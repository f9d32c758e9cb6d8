"""What LLaVA-1.5-7B is to reach on an H100, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carve_eval.reporting.tables import Row, Table

_MODEL = "llava-1.5-7b"
_OURS = "this runtime"
_FASTER = "the faster of the others / this runtime"


@dataclass(frozen=True)
class Reach:
    """A bound for one cell.

    Attributes:
        what: as in the table.
        table: which table has the cell, without the model's name.
        row: label of its row.
        column: heading of its column.
        bound: a number, or the heading of another column of the row.
        at_least: whether it is a lower bound.
    """

    what: str
    table: str
    row: str
    column: str
    bound: float | str
    at_least: bool = False


_REACHES = (
    Reach("one token, ms", "decoder", "one token", _OURS, 7.5),
    Reach("suffix of 24, ms", "decoder", "suffix of 24 over it", _OURS, 9.0),
    Reach("prefill of 596, ms", "decoder", "prefill of 596", _OURS, 20.0),
    Reach("one token in int4, ms", "int4", "one token", _OURS, 4.5),
    Reach("plain answer, times as fast", "answers", "plain answer", _FASTER, 1.6, at_least=True),
    Reach("CARVE / plain", "answers", "CARVE / plain", _OURS, 2.2),
    *(
        Reach(
            f"released code, {steps}, times as fast",
            "released",
            steps,
            "times as fast",
            times,
            True,
        )
        for steps, times in (("general pass of 3", 3.0), ("general pass of 32", 10.0))
    ),
    *(
        Reach(
            f"error of {output}, %", "parity", output, f"{_OURS}, float16", "transformers, float16"
        )
        for output in ("logits", "attention rows")
    ),
)


def reached(tables: Sequence[Table]) -> list[Table]:
    """Return the table of bounds, with those that were measured; none if none was."""
    known = {table.name: table for table in tables}
    rows = [row for reach in _REACHES if (row := _row(reach, known)) is not None]
    if not rows:
        return []
    columns = ("what", "measured", "to be reached", "is it")
    return [Table("reach", f"{_MODEL}: to be reached on an H100", columns, rows)]


def _row(reach: Reach, tables: Mapping[str, Table]) -> Row | None:
    table = tables.get(f"{reach.table} {_MODEL}")
    if table is None or reach.row not in [row[0] for row in table.rows]:
        return None
    value, bound = table.cell(reach.row, reach.column), reach.bound
    if isinstance(bound, str):
        bound = float(str(table.cell(reach.row, bound)))
    measured = float(str(value))
    is_reached = measured >= bound if reach.at_least else measured <= bound
    sign = "≥" if reach.at_least else "≤"
    return reach.what, str(value), f"{sign} {bound:g}", "yes" if is_reached else "no"
