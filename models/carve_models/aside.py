"""The hidden folder beside a bundle in which its successor is made, and what readers know of it.

What is at ``NAME`` is replaced by what was made in ``.NAME.carve``. That folder holds ``new``, the
successor; ``lock``, which the export that owns the folder keeps locked; and ``old``, what was at
``NAME``, between two renames where the file system cannot exchange folders. The system lifts a lock
when its process ends, however it ends: a folder whose file is not locked belongs to nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from carve_models.errors import BundleError, CarveError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK, NEW, OLD = "lock", "new", "old"
_SUFFIX = ".carve"
#: A folder that was replaced so often while it was read will be replaced again.
_MOST_READS = 100

T = TypeVar("T")


def aside_of(target: Path) -> Path:
    """Return the folder in which what comes to ``target`` is made."""
    return target.with_name(f".{target.name}{_SUFFIX}")


def lock(aside: Path) -> BinaryIO | None:
    """Lock a folder for as long as the returned file is open; ``None`` if another process has it.

    Raises:
        FileNotFoundError: the folder is not there.
        OSError: it cannot be written, or its file system has no locks.
    """
    path = aside / LOCK
    while True:
        stream = path.open("ab")
        try:
            if not _locks(stream):
                stream.close()
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                    return stream
        except BaseException:
            stream.close()
            raise
        stream.close()  # its owner has removed the file meanwhile: there may be another


def unlock(aside: Path, stream: BinaryIO) -> None:
    """Unlock a folder, and remove it if it holds nothing but the lock."""
    if sys.platform == "win32":  # a file that is open is not removed there
        stream.close()
    with stream, suppress(OSError):
        if [path.name for path in aside.iterdir()] == [LOCK]:
            (aside / LOCK).unlink()
            aside.rmdir()


def _locks(stream: BinaryIO) -> bool:
    """Lock an open file; return whether no other process has."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def restore(aside: Path, target: Path) -> None:
    """Undo a replacement that ended between its two renames; the folder aside has to be locked."""
    if (aside / OLD).is_dir() and not os.path.lexists(target):
        (aside / OLD).rename(target)


def _restore_abandoned(target: Path) -> None:
    """Undo a replacement that was killed between its two renames, where this process may."""
    aside = aside_of(target)
    if os.path.lexists(target) or not (aside / OLD).is_dir():
        return
    with suppress(OSError):
        stream = lock(aside)
        if stream is not None:
            with stream:
                restore(aside, target)


def read_whole(folder: Path, manifest: str, read: Callable[[], T]) -> T:
    """Read a folder that may be replaced meanwhile: again, until all of it was the same folder's.

    Args:
        folder: the folder.
        manifest: file name of its manifest: another file there is another folder.
        read: reads it; its errors count only if the folder was not replaced.

    Raises:
        BundleError: the folder is replaced over and over.
    """
    for _ in range(_MOST_READS):
        _restore_abandoned(folder)
        before = _identity(folder / manifest)
        try:
            result = read()
        except (CarveError, OSError):
            if _identity(folder / manifest) == before:
                raise
        else:
            if _identity(folder / manifest) == before:
                return result
    raise BundleError(
        f"{folder} was replaced {_MOST_READS} times while it was read", "let the exports end first"
    )


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what tells a file from another at the same path, ``None`` if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # a path with a NUL is none
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def abandoned(folder: Path) -> list[Path]:
    """Return what exports that were killed have left in a folder, without those that still run."""
    return [path for path in sorted(folder.glob(f".*{_SUFFIX}")) if _is_abandoned(path)]


def _is_abandoned(aside: Path) -> bool:
    """Return whether a folder is one of an export that has ended, as far as that can be told."""
    if not (aside / LOCK).is_file():
        return False
    try:
        stream = lock(aside)
    except OSError:
        return False
    if stream is None:
        return False
    stream.close()
    return True
