"""Blocks of Markdown pages that a comment ``<!-- run -->`` marks, run as a reader would.

All blocks of a page run in order, in one folder that looks like the checkout. ``sh`` blocks are
scripts of bash, ``python`` blocks of one page share their names. A ``text`` block right behind one
is what it prints; ``...`` in it stands for anything.
"""

from __future__ import annotations

import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT

_BLOCK = re.compile(
    r"^<!-- run -->\n+```(?P<language>\w+)\n(?P<code>.*?)^```$"
    r"(?:\n+```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
#: What the folder of a run has of the checkout, as links.
_LINKED = ("docs", "models", "tests")
_DEADLINE_S = 600


@dataclass(frozen=True)
class Block:
    """A block that is run.

    Attributes:
        line: where it begins, counted from 1.
        language: "sh" or "python".
        code: its text.
        output: what it prints; ``None`` where the page does not say.
    """

    line: int
    language: str
    code: str
    output: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Find the blocks of a page that are marked."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(line, found["language"], found["code"], found["output"])


def run_page(page: Path, folder: Path) -> None:
    """Run the marked blocks of a page in an empty folder, which is the working directory."""
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        run = {"sh": _run_shell, "python": _run_python}[block.language]
        printed = run(block.code, place, names, folder)
        if block.output is not None:
            require_output(block.output, printed, place)


def require_output(expected: str, printed: str, place: str) -> None:
    """Raise :class:`AssertionError` unless this was printed, with anything for ``...``."""
    same = doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)
    assert same, f"{place}: expected\n{expected}\nprinted\n{printed}"


def _run_shell(code: str, place: str, names: dict[str, Any], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
    )
    assert done.returncode == 0, f"{place}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


def _run_python(code: str, place: str, names: dict[str, Any], folder: Path) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, place, "exec"), names)
    return printed.getvalue()
