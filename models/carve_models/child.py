"""Python modules in processes of their own, which may crash, hang or take all memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What came of a module that was run.

    Attributes:
        output: on standard output.
        errors: on standard error.
        failure: why it failed; empty if it did not.
        killed: whether a signal ended it.
    """

    output: str
    errors: str
    failure: str
    killed: bool = False


def run_module(module: str, *arguments: str, given: str = "", seconds: float) -> Trial:
    """Run a module as this process would import it, with a limit of time.

    ``python -m`` would look for it, and for what it imports, in the working folder first, where
    others may have put files of the same names.

    Args:
        module: its dotted name.
        arguments: of its command line.
        given: what it reads from standard input.
        seconds: until it must have ended.
    """
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100 - keeps links
    code = (
        f"import sys; sys.path[:] = {paths!r}; import runpy; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial("", "", f"did not end within {seconds:g} s")
    failure = ""
    if done.returncode < 0:
        failure = f"ended by {signal.Signals(-done.returncode).name}"
    elif done.returncode > 0:
        failure = (done.stderr.strip().splitlines() or ["failed without a word"])[-1]
    return Trial(done.stdout, done.stderr, failure, done.returncode < 0)
