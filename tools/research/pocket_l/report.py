"""The findings as tables: on the terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tools.research.pocket_l.experiment import Choice
from tools.research.pocket_l.findings import Findings, Row
from tools.shared.statistics import Interval

_HEADER = ("", "layer", "lambda", "suffix", "dev", "within one token", "on target")


@dataclass(frozen=True)
class _Sheet:
    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def show(findings: Findings, console: Console) -> None:
    """Print every table."""
    for sheet in _sheets(findings):
        table = Table(*sheet.header, title=sheet.title, title_justify="left")
        for line in sheet.lines:
            table.add_row(*line)
        console.print(table)


def to_markdown(findings: Findings) -> str:
    """Return every table."""
    blocks = []
    for sheet in _sheets(findings):
        lines = [sheet.header, ("---",) * len(sheet.header), *sheet.lines]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        blocks.append(f"**{sheet.title}**\n\n{rows}\n")
    return "\n".join(blocks)


def _sheets(findings: Findings) -> list[_Sheet]:
    depth = len(findings.curves["contrast"]) - 1
    (_, questions), (_, scenes) = findings.questions, findings.scenes
    title = f"Pointing, percent of {questions} questions on {scenes} test scenes"
    return [
        _rows(title, findings.rows, depth),
        _rows("By wording, each with its own choice", findings.by_wording, depth),
        _rows("By regulariser, each with its own layer", findings.by_regularizer, depth),
        _Sheet("The contrast", ("", "value", "95 %"), _comparisons(findings)),
    ]


def _rows(title: str, rows: Sequence[Row], depth: int) -> _Sheet:
    lines = (
        (
            row.title,
            *_choice(row.choice, depth),
            f"{100 * row.development:.1f}",
            _percent(row.near),
            _percent(row.on_target),
        )
        for row in rows
    )
    return _Sheet(title, _HEADER, tuple(lines))


def _choice(choice: Choice | None, depth: int) -> tuple[str, str, str]:
    if choice is None:
        return "", "", ""
    layer = "all" if choice.layer == depth else str(choice.layer)
    regularizer = choice.regularizer
    if regularizer is None:
        return layer, "", choice.wording
    spelled = regularizer if isinstance(regularizer, str) else f"{regularizer:g}"
    return layer, spelled, choice.wording


def _comparisons(findings: Findings) -> tuple[tuple[str, ...], ...]:
    ratios = [
        (f"times {title}", *_interval(found, 1, ".1f")) for title, found in findings.ratios.items()
    ]
    share, test = findings.position_share, findings.test
    return (
        *ratios,
        ("percent of the gain from position alone", *_interval(share, 100, ".0f")),
        ("right where question alone, its own best layer, is wrong", str(test.only_first), ""),
        ("wrong where it is right", str(test.only_second), ""),
        ("McNemar, p", f"{test.p_value:.2g}", ""),
    )


def _interval(found: Interval | None, factor: float, form: str) -> tuple[str, str]:
    if found is None:
        return "undefined", ""
    estimate, low, high = (f"{factor * value:{form}}" for value in found)
    return estimate, f"{low} to {high}"


def _percent(found: Interval) -> str:
    return f"{100 * found.estimate:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"
