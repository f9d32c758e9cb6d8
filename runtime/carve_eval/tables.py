"""The figures as tables: the paper's, then what stands behind each column of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from carve_eval.figures import Comparison, Figures
from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import P, Row, Table


def tables(figures: Sequence[Figures], comparisons: Sequence[Comparison]) -> Iterator[Table]:
    """Yield the paper's table, then what stands behind each benchmark's column."""
    yield paper_table(figures)
    for benchmark in dict.fromkeys(row.benchmark for row in figures):
        rows = [row for row in figures if row.benchmark == benchmark]
        yield accuracy_table(benchmark, rows)
        compared = [row for row in comparisons if row.benchmark == benchmark]
        if compared:
            yield comparison_table(benchmark, compared)
        if any(row.refined_measures for row in rows):
            yield measures_table(benchmark, rows)


def paper_table(figures: Sequence[Figures]) -> Table:
    """Return accuracies, plain → refined, one row for each setting, one column per benchmark."""
    whole = {(row.setting, row.benchmark): row for row in figures if not row.group}
    benchmarks = list(dict.fromkeys(benchmark for _, benchmark in whole))
    rows = []
    for setting in dict.fromkeys(setting for setting, _ in whole):
        cells = (whole.get((setting, benchmark)) for benchmark in benchmarks)
        arrows = (
            _arrow(cell.plain.estimate, cell.refined.estimate) if cell else "-" for cell in cells
        )
        rows.append([setting, *arrows])
    return Table("paper", "Accuracy in %, plain → refined", ("setting", *benchmarks), rows)


def accuracy_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return accuracies and differences with 95 % intervals, and the paired test.

    "Better" counts the questions that the plain answer gets better, and those that the refined one
    does.
    """
    rows = [
        [
            _label(row),
            row.questions if row.questions == row.total else f"{row.questions} of {row.total}",
            row.plain.percent,
            row.refined.percent,
            _signed(row.difference.percent),
            f"{row.only_plain} : {row.only_refined}",
            P(row.p_value),
        ]
        for row in figures
    ]
    columns = ("setting", "questions", "plain", "refined", "difference", "better", "p")
    return Table("accuracy", f"{benchmark}: accuracy in % with 95 % intervals", columns, rows)


def comparison_table(benchmark: str, comparisons: Sequence[Comparison]) -> Table:
    """Return what each further setting's refined answers win over the first's, and the test."""
    rows: list[Row] = [
        [
            row.setting,
            row.questions,
            _signed(row.difference.percent),
            f"{row.only_reference} : {row.only_setting}",
            P(row.p_value),
        ]
        for row in comparisons
    ]
    title = f"{benchmark}: refined answers compared with {comparisons[0].reference}, in %"
    return Table("comparison", title, ("setting", "questions", "difference", "better", "p"), rows)


def measures_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return the benchmark's own measures, plain → refined; a group need not have them all."""
    names = list(dict.fromkeys(name for row in figures for name in row.refined_measures))
    rows = [[_label(row), *(_change(row, name) for name in names)] for row in figures]
    title = f"{benchmark}: further measures in %, plain → refined"
    return Table("measures", title, ("setting", *names), rows)


def _label(row: Figures) -> str:
    return f"  {row.group}" if row.group else row.setting


def _change(row: Figures, measure: str) -> str:
    ways = (row.plain_measures, row.refined_measures)
    return _arrow(*(way.get(measure, math.nan) for way in ways))


def _arrow(plain: float, carve: float) -> str:
    return f"{_percent(plain)} → {_percent(carve)}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _signed(interval: Interval) -> str:
    ends = f" [{interval.low:+.1f}, {interval.high:+.1f}]" if math.isfinite(interval.low) else ""
    return f"{interval.estimate:+.1f}{ends}"
