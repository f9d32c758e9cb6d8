"""Remember which files' SHA-256 sums were compared, so that large bundles open fast.

In: files. Out: whether the file system says that each is the one whose sum was compared before.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from carve_models.folder import MALFORMED, read_document

#: Files that are remembered, those of some 200 bundles; the oldest give way.
MOST_FILES = 4096
#: A file that changed so short a time ago may change again without another time of change: file
#: systems count in steps, of two seconds at most.
_SETTLED_NS = 2 * 10**9


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """A file as the file system describes it, with the sum that it should have.

    A program can restore the time of modification. The time of change, which POSIX systems keep
    beside it, it cannot; on Windows that field is the time of creation.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str) -> FileState:
        """Return the present state of a file.

        Raises:
            OSError: there is none.
        """
        status = path.stat()
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            sha256,
        )

    def settled(self, now_ns: int) -> bool:
        """Return whether a change from now on would be seen in another state."""
        return max(self.modified_ns, self.changed_ns) + _SETTLED_NS < now_ns


def memory_file() -> Path | None:
    """Return where states are kept: in the user's cache folder, as other tools for models do.

    ``$XDG_CACHE_HOME``, else ``~/.cache``, on every system, as ``huggingface_hub`` has it;
    ``None`` for a user without a home.
    """
    folder = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".cache") / "carve-vlm" / "verified.json"
    except RuntimeError:
        return None


class VerifiedFiles:
    """The files whose sums were compared; nothing is remembered where that file cannot be used.

    A damaged memory is an empty one, and what is lost is compared again.
    """

    def __init__(self) -> None:
        """Read what is remembered."""
        self._file = memory_file()
        self._states: dict[FileState, None] = {}
        self._began_ns = time.time_ns()
        if self._file is not None:
            with suppress(OSError, *MALFORMED):
                listed = msgspec.json.decode(read_document(self._file), type=list[FileState])
                self._states = dict.fromkeys(listed)
        self._read = list(self._states)

    @property
    def file(self) -> Path | None:
        """Where they are kept."""
        return self._file

    def __contains__(self, state: FileState) -> bool:
        return state in self._states

    def forget(self, state: FileState) -> None:
        """Drop a file, until its sum was compared again."""
        self._states.pop(state, None)

    def add(self, path: Path, state: FileState) -> None:
        """Remember a file whose sum was compared.

        Args:
            path: the file.
            state: of it, taken before it was read.
        """
        if state.settled(self._began_ns) and FileState.of(path, state.sha256) == state:
            self._states[state] = None

    def save(self) -> None:
        """Write what is remembered if it changed."""
        if self._newest() != self._read:
            self.write()

    def write(self) -> bool:
        """Write what is remembered, whole or not at all; return whether that was possible."""
        if self._file is None:
            return False
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Each process writes a file of its own: the last one to finish is remembered.
            handle, name = tempfile.mkstemp(dir=self._file.parent)
            aside = Path(name)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(msgspec.json.encode(self._newest()))
                aside.replace(self._file)
            except OSError:
                aside.unlink(missing_ok=True)
                raise
        except OSError:
            return False
        return True

    def _newest(self) -> list[FileState]:
        return list(self._states)[-MOST_FILES:]
