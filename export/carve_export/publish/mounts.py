"""File systems that are mounted in a folder, and so would not move with it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

#: Linux lists all mounts here, also those of a folder or a file of the same device.
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT = 4  # which field of a line, see proc_pid_mountinfo(5)


def mounted_in(folder: Path) -> Path | None:
    """Return a mount at or below a folder, given without links; ``None`` if there is none."""
    below = (Path(name) for name, _, _ in os.walk(folder) if os.path.ismount(name))
    listed = (path for path in _listed() if path.is_relative_to(folder))
    return next(below, None) or next(listed, None)


def _listed() -> list[Path]:
    """Return the mounts that the system lists; none where it has no list."""
    with suppress(OSError):
        lines = _MOUNTS.read_bytes().splitlines()
        return [_unescaped(line.split()[_MOUNT_POINT]) for line in lines]
    return []


def _unescaped(name: bytes) -> Path:
    r"""Return the path of which blanks, line ends and backslashes are written as ``\040``."""
    return Path(
        os.fsdecode(re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], base=8)]), name))
    )
