"""A table reads the same in Markdown and in JSON."""

from __future__ import annotations

from tools.shared.statistics import Interval
from tools.shared.tables import P, Table


def test_cells() -> None:
    table = Table(
        "t", "Title", ("way", "right", "p"), [["one", Interval(81.25, 70, 90), P(0.0004)]]
    )
    assert table.markdown().splitlines()[2:5] == [
        "| way | right | p |",
        "| --- | ---: | ---: |",
        "| one | 81.2 [70.0, 90.0] | < 0.001 |",
    ]
    assert table.data()["rows"] == [{"way": "one", "right": (81.25, 70, 90), "p": 0.0004}]
