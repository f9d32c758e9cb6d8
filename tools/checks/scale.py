"""What millions of questions cost, from what one was measured to cost.

Everything in the table of ``docs/scale.md`` is a product of figures in ``docs/figures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from carve_eval.reporting.tables import Table
from tools.shared.figures import SpeedReport
from tools.shared.report import Report

_SECONDS_OF_A_DAY = 86_400
_SECONDS_OF_AN_HOUR = 3_600
_MILLION = 1_000_000
_A_DAY = 10 * _MILLION
#: Share of the time that actors answer; the rest is for starts, lost work and uneven days.
_BUSY = 0.7


@dataclass(frozen=True)
class _Case:
    """A model on a machine: seconds of a first and of a further question about an image."""

    name: str
    first: float
    further: float

    def row(self) -> tuple[str, str, str, str, str, str]:
        a_day = _SECONDS_OF_A_DAY / self.first
        return (
            self.name,
            f"{self.first:#.3g} s",
            f"{self.further:#.3g} s",
            f"{a_day:,.0f}",
            f"{self.first * _MILLION / _SECONDS_OF_AN_HOUR:,.0f}",
            f"{_A_DAY / (a_day * _BUSY):,.0f}",
        )


def scale_table(folder: Path) -> str:
    """Return the table, from the folder of the figures."""
    columns = (
        "model and machine of an actor",
        "a question",
        "a further one",
        "questions a day",
        "hours for a million",
        f"actors for {_A_DAY // _MILLION} million a day, busy {_BUSY:.0%} of it",
    )
    rows = [case.row() for case in (*_on_cores(folder), *_on_a_gpu(folder))]
    return Table("scale", "", columns, rows).grid()


def _on_cores(folder: Path) -> list[_Case]:
    report = msgspec.json.decode((folder / "speed.json").read_bytes(), type=SpeedReport)
    medians = {(each.line, each.what): each.value.median for each in report.figures if each.value}
    cases = []
    for model in ("pocket", "SmolLM2-135M, 576 tokens"):
        what = f"{model}, 4 tokens"
        plain = medians["plain", what]
        cases.append(
            _Case(
                f"{model}; {report.machine.cores} cores",
                plain * medians["v4, pair", what],
                plain * medians["second question, refined", what],
            )
        )
    return cases


def _on_a_gpu(folder: Path) -> list[_Case]:
    report = msgspec.json.decode((folder / "gpu.json").read_bytes(), type=Report)
    device = str(report.table("machine").cell("device", "found")).partition(",")[0]
    cases = []
    for model in ("llava-1.5-7b", "qwen2.5-vl-3b"):
        stages = report.table(f"stages {model}")
        total, decode, prefix = (
            float(str(stages.cell(stage, "this runtime"))) / 1e3
            for stage in ("total", "decode", "prefix")
        )
        cases.append(_Case(f"{model}; one {device}", total, total - decode - prefix))
    return cases
