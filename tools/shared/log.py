"""Log lines in a file."""

from __future__ import annotations

import logging
from pathlib import Path


def start_log(path: Path) -> None:
    """Append the log of this run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )
