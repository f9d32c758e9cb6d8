"""Print a command of the README exactly as it stands, for continuous integration to run.

A command is the fenced block after ``<!-- command: NAME -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def command(name: str) -> str:
    """Return the block of that name; it needs nothing but the standard library."""
    pattern = rf"<!-- command: {re.escape(name)} -->\s*```sh\n(.*?)```"
    blocks: list[str] = re.findall(pattern, README.read_text(encoding="utf-8"), re.DOTALL)
    if len(blocks) != 1:
        raise SystemExit(f"README.md has {len(blocks)} commands named {name!r}, expected one")
    return blocks[0]


if __name__ == "__main__":
    print(command(sys.argv[1]), end="")
