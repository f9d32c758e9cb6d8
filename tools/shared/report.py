"""What a tool measured, as a JSON file that pages can be filled from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carve_eval.reporting.tables import Table
from tools.shared.machine import Machine


@dataclass(frozen=True)
class Report:
    """Tables and where they come from. It survives msgspec's JSON.

    Attributes:
        source: the command that printed the tables.
        tables: what it printed.
        settings: in force, if they matter.
        machine: where it ran, if that matters.
    """

    source: str
    tables: Sequence[Table]
    settings: dict[str, Any] | None = None
    machine: Machine | None = None

    def table(self, name: str) -> Table:
        """Return a table.

        Raises:
            ValueError: there is none of that name.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise ValueError(f"{self.source} printed no table {name!r}")

    def markdown(self) -> str:
        """Return the settings and every table."""
        settings = [f"Settings: `{json.dumps(self.settings)}`\n"] if self.settings else []
        return "\n".join([*settings, *(table.markdown() for table in self.tables)])
