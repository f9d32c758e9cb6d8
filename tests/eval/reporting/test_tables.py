"""A table reads the same in Markdown and in JSON."""

from __future__ import annotations

import math

import msgspec
import pytest

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import Cell, P, Row, Table, interval_cell


def test_cells() -> None:
    table = Table(
        "t", "Title", ("way", "right", "p"), [["one", Interval(81.25, 70, 90), P(0.0004)]]
    )
    assert table.markdown().splitlines()[2:5] == [
        "| way | right | p |",
        "| --- | ---: | ---: |",
        "| one | 81.2 [70.0, 90.0] | < 0.001 |",
    ]


def test_a_table_survives_json() -> None:
    row: Row = ["a", Interval(81.25, 70.0, 90.0), P(0.25), None, 3, 100.0, "7 : 8"]
    table = Table("t", "Title", list("abcdefg"), [row], "How to read it.")
    again = msgspec.json.decode(msgspec.json.encode(table), type=Table)
    assert again == table
    assert again.markdown() == table.markdown()
    assert again.cell("a", "b") == Interval(81.25, 70.0, 90.0)
    with pytest.raises(ValueError, match="0 rows 'z'"):
        again.cell("z", "b")


@pytest.mark.parametrize(
    ("interval", "cell"),
    [
        (Interval(50.0, 40.0, 60.0), Interval(50.0, 40.0, 60.0)),
        (Interval(50.0, -math.inf, math.inf), "50.0"),
        (Interval(4.4, 3.5, math.inf), "4.4 [3.5, inf]"),
    ],
)
def test_infinite_ends_become_text(interval: Interval, cell: Cell) -> None:
    assert interval_cell(interval) == cell
