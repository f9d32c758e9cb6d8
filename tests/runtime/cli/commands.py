"""carve-run in this process, and how it has to fail."""

from __future__ import annotations

import re

from click.testing import CliRunner, Result

from carve_runtime.cli.main import main
from tests.support import SCENES

SCENE = str(SCENES / "scene-00.jpg")
QUESTION = "What letter is on the blue cross?"
ASK = ("ask", "default", SCENE, QUESTION)


def carve_run(*arguments: object, input: bytes | None = None) -> Result:  # noqa: A002 - as click
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)


def failed(result: Result, code: int, message: str) -> None:
    """Check the exit code and that standard error ends with one line of cause and remedy."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)  # anything else is a traceback to the user
    *before, last = result.stderr.strip().splitlines()
    assert re.search(rf"^Error: .*{message}", last), last
    assert last.endswith((".", "?"))
    assert all(re.match(r"(Usage: |Try '|$)", line) for line in before)
