"""A program in Node that takes one JSON line for each input and answers with one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.consumers.building import with_node
from tests.fuzz.surface import CrashError, ForeignError, RefusedError

_FOLDER = Path(__file__).parent / "js"
#: Bytes that Node may take.
_MOST_BYTES = 2 << 30


class Node:
    """A script of ``tests/fuzz/js`` that runs until this process ends."""

    def __init__(self, script: str, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            ["node", str(_FOLDER / script), *arguments],
            env=with_node(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._line()

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def use(self, document: Any) -> None:
        """Send one input.

        Raises:
            RefusedError: it was refused with the library's own error.
            ForeignError: it failed in another way.
            CrashError: the program has ended.
            MemoryError: it has taken too much memory.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()
        said = self._line()
        if said["peak"] > _MOST_BYTES:
            raise MemoryError(f"{said['peak']} bytes in Node")
        if said["outcome"] == "refused":
            raise RefusedError(said["message"])
        if said["outcome"] != "answered":
            raise ForeignError(said["message"])

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CrashError(f"Node ended with {self._process.wait()}")
        return json.loads(line)
