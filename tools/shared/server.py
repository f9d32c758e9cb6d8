"""``carve-run serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_COMMAND = "from carve_runtime.cli.main import main; main()"


@contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command on a free port; yield its address, and the process, which is ended.

    Args:
        arguments: of ``carve-run serve``.
        environment: variables to set.

    Raises:
        RuntimeError: it ended instead.
    """
    words = [sys.executable, "-c", _COMMAND, "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        words,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise RuntimeError(f"carve-run serve did not start: {process.communicate()[1]}")
        yield found[0], process
    finally:
        process.kill()
        process.communicate()
