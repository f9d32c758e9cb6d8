"""Tables of all sections, on the terminal and in files, complete after each section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from carve_eval.reporting.tables import Row, Table
from carve_models.replacing import replacing, write_json
from tools.gpu_check.reach import reached
from tools.shared.machine import Machine
from tools.shared.report import Report

_COMMAND = "python -m tools.gpu_check"
NAME = "gpu"


@dataclass
class Results:
    """What has been measured so far.

    Attributes:
        machine: where.
        with_reach: whether bounds are shown that hold for a GPU.
        folder: ``gpu.json`` and ``gpu.md`` go there.
        console: the terminal.
    """

    machine: Machine
    with_reach: bool
    folder: Path
    console: Console
    _tables: list[Table] = field(default_factory=list)
    _sections: list[Row] = field(default_factory=list)

    def add(self, section: str, seconds: float, outcome: str, tables: Sequence[Table]) -> None:
        """Show a section's tables and write everything."""
        for table in tables:
            table.show(self.console)
        self._tables += tables
        self._sections.append([section, outcome, f"{seconds:.1f}"])
        self.console.print(f"{section}: {outcome}, {seconds:.1f} s")
        report = self.report()
        write_json(self.folder / f"{NAME}.json", report)
        with replacing(self.folder / f"{NAME}.md") as aside:
            aside.write_text(report.markdown(), encoding="utf-8")

    def report(self) -> Report:
        """Return machine, sections and every table."""
        columns = ("section", "outcome", "seconds")
        sections = Table("sections", "Sections", columns, self._sections)
        goals = reached(self._tables) if self.with_reach else []
        tables = [_machine(self.machine), *goals, *self._tables, sections]
        return Report(_COMMAND, tables, None, self.machine)


def _machine(machine: Machine) -> Table:
    rows = [
        ("device", machine.processor),
        ("cores", machine.cores),
        ("system", f"{machine.system}, Python {machine.python}"),
        ("packages", ", ".join(f"{name} {text}" for name, text in machine.versions.items())),
        ("date", machine.date),
    ]
    return Table("machine", "Machine", ("what", "found"), rows)
