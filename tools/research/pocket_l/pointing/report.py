"""The findings as tables."""

from __future__ import annotations

from collections.abc import Sequence

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import Cell, Table, interval_cell
from tools.research.pocket_l.pointing.experiment import Choice
from tools.research.pocket_l.pointing.findings import Findings, Row

_COLUMNS = ("", "layer", "lambda", "suffix", "dev", "within one token", "on target")


def tables(findings: Findings) -> list[Table]:
    """Return every table."""
    depth = len(findings.curves["contrast"]) - 1
    (_, questions), (_, scenes) = findings.questions, findings.scenes
    title = f"Pointing, percent of {questions} questions on {scenes} test scenes"
    return [
        _rows("pointing", title, findings.rows, depth),
        _rows("wording", "By wording, each with its own choice", findings.by_wording, depth),
        _rows(
            "regularizer",
            "By regulariser, each with its own layer",
            findings.by_regularizer,
            depth,
        ),
        Table("contrast", "The contrast", ("", "value"), _comparisons(findings)),
    ]


def _rows(name: str, title: str, rows: Sequence[Row], depth: int) -> Table:
    cells = [
        (
            row.title,
            *_choice(row.choice, depth),
            100 * row.development,
            interval_cell(row.near.percent),
            interval_cell(row.on_target.percent),
        )
        for row in rows
    ]
    return Table(name, title, _COLUMNS, cells)


def _choice(choice: Choice | None, depth: int) -> tuple[str, str, str]:
    if choice is None:
        return "", "", ""
    layer = "all" if choice.layer == depth else str(choice.layer)
    regularizer = choice.regularizer
    if regularizer is None:
        return layer, "", choice.wording
    return (
        layer,
        regularizer if isinstance(regularizer, str) else f"{regularizer:g}",
        choice.wording,
    )


def _comparisons(findings: Findings) -> list[tuple[str, Cell]]:
    share, test = findings.position_share, findings.test
    return [
        *((f"times {title}", _or_undefined(ratio)) for title, ratio in findings.ratios.items()),
        ("percent of the gain from position alone", _or_undefined(share and share.percent)),
        ("right where question alone, its own best layer, is wrong", test.only_first),
        ("wrong where it is right", test.only_second),
        ("McNemar, p", f"{test.p_value:.2g}"),
    ]


def _or_undefined(interval: Interval | None) -> Cell:
    return "undefined" if interval is None else interval_cell(interval)
