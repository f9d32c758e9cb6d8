"""Print figures: the paper's table, then what stands behind each column of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tools.eval.figures import Figures
from tools.shared.statistics import Interval

_SMALLEST_P = 0.001


def print_tables(console: Console, figures: Sequence[Figures]) -> None:
    """Print the paper's table, then each benchmark's comparison and measures."""
    console.print(paper_table(figures))
    for benchmark in dict.fromkeys(one.benchmark for one in figures):
        rows = [one for one in figures if one.benchmark == benchmark]
        console.print(comparison_table(benchmark, rows))
        if rows[0].plain_measures:
            console.print(measures_table(benchmark, rows))


def paper_table(figures: Sequence[Figures]) -> Table:
    """Return accuracies, plain → CARVE, one row for each setting, one column per benchmark."""
    whole = {(one.setting, one.benchmark): one for one in figures if not one.group}
    benchmarks = dict.fromkeys(benchmark for _, benchmark in whole)
    table = _table("Accuracy in %, plain → CARVE", benchmarks)
    for setting in dict.fromkeys(setting for setting, _ in whole):
        found = (whole.get((setting, benchmark)) for benchmark in benchmarks)
        cells = (_arrow(one.plain.estimate, one.carve.estimate) if one else "-" for one in found)
        table.add_row(setting, *cells)
    return table


def comparison_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return accuracies and differences with 95 % intervals, and the paired test.

    "Better" counts the questions that the plain answer gets better, and those that CARVE does.
    """
    names = ("questions", "plain", "CARVE", "difference", "better", "p")
    table = _table(f"{benchmark}: accuracy in % with 95 % intervals", names)
    for one in figures:
        table.add_row(
            _label(one),
            str(one.questions) if one.questions == one.total else f"{one.questions} of {one.total}",
            _spell(one.plain),
            _spell(one.carve),
            _spell(one.difference, signed=True),
            f"{one.only_plain} : {one.only_carve}",
            f"{one.p_value:.3f}" if one.p_value >= _SMALLEST_P else f"< {_SMALLEST_P}",
        )
    return table


def measures_table(benchmark: str, figures: Sequence[Figures]) -> Table:
    """Return the benchmark's own measures, plain → CARVE."""
    names = list(figures[0].plain_measures)
    table = _table(f"{benchmark}: further measures in %, plain → CARVE", names)
    for one in figures:
        cells = (_arrow(one.plain_measures[name], one.carve_measures[name]) for name in names)
        table.add_row(_label(one), *cells)
    return table


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table("setting", title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _label(one: Figures) -> str:
    return f"  {one.group}" if one.group else one.setting


def _arrow(plain: float, carve: float) -> str:
    return f"{_percent(plain)} → {_percent(carve)}"


def _percent(share: float, *, signed: bool = False) -> str:
    if math.isnan(share):
        return "-"
    return f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"


def _spell(interval: Interval, *, signed: bool = False) -> str:
    estimate, low, high = (_percent(share, signed=signed) for share in interval)
    return f"{estimate} [{low}, {high}]" if math.isfinite(interval.low) else estimate
