"""The figures as tables: the paper's, then what stands behind each column of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from carve_eval.figures import Figures
from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import P, Table


def tables(figures: Sequence[Figures]) -> Iterator[Table]:
    """Yield the paper's table, then each benchmark's comparison and measures."""
    yield paper_table(figures)
    for benchmark in dict.fromkeys(row.benchmark for row in figures):
        rows = [row for row in figures if row.benchmark == benchmark]
        yield comparison_table(benchmark, rows)
        if rows[0].plain_measures:
            yield measures_table(benchmark, rows)


def paper_table(figures: Sequence[Figures]) -> Table:
    """Return accuracies, plain → CARVE, one row for each setting, one column per benchmark."""
    whole = {(row.setting, row.benchmark): row for row in figures if not row.group}
    benchmarks = list(dict.fromkeys(benchmark for _, benchmark in whole))
    rows = []
    for setting in dict.fromkeys(setting for setting, _ in whole):
        cells = (whole.get((setting, benchmark)) for benchmark in benchmarks)
        arrows = (
            _arrow(cell.plain.estimate, cell.carve.estimate) if cell else "-" for cell in cells
        )
        rows.append([setting, *arrows])
    return Table("paper", "Accuracy in %, plain → CARVE", ("setting", *benchmarks), rows)


def comparison_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return accuracies and differences with 95 % intervals, and the paired test.

    "Better" counts the questions that the plain answer gets better, and those that CARVE does.
    """
    rows = [
        [
            _label(row),
            row.questions if row.questions == row.total else f"{row.questions} of {row.total}",
            row.plain.percent,
            row.carve.percent,
            _signed(row.difference.percent),
            f"{row.only_plain} : {row.only_carve}",
            P(row.p_value),
        ]
        for row in figures
    ]
    columns = ("setting", "questions", "plain", "CARVE", "difference", "better", "p")
    return Table("comparison", f"{benchmark}: accuracy in % with 95 % intervals", columns, rows)


def measures_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return the benchmark's own measures, plain → CARVE."""
    names = list(figures[0].plain_measures)
    rows = [
        [
            _label(row),
            *(_arrow(row.plain_measures[name], row.carve_measures[name]) for name in names),
        ]
        for row in figures
    ]
    title = f"{benchmark}: further measures in %, plain → CARVE"
    return Table("measures", title, ("setting", *names), rows)


def _label(row: Figures) -> str:
    return f"  {row.group}" if row.group else row.setting


def _arrow(plain: float, carve: float) -> str:
    return f"{_percent(plain)} → {_percent(carve)}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _signed(interval: Interval) -> str:
    ends = f" [{interval.low:+.1f}, {interval.high:+.1f}]" if math.isfinite(interval.low) else ""
    return f"{interval.estimate:+.1f}{ends}"
