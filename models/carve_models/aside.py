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
from typing import BinaryIO, Literal, TypeVar

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
    """Return the folder in which what comes to ``target``, a path with a name, is made."""
    return target.with_name(f".{target.name}{_SUFFIX}")


def lock(aside: Path) -> BinaryIO | None:
    """Lock a folder for as long as the returned file is open; ``None`` if another process has it.

    Raises:
        FileNotFoundError: the folder is not there.
        OSError: it cannot be written, or its file system has no locks.
    """
    return _lock(aside, "ab", shared=False)


def _lock(aside: Path, mode: Literal["ab", "r+b", "rb"], *, shared: bool) -> BinaryIO | None:
    """Lock a folder; those who only read open its file in a mode that does not make it anew."""
    path = aside / LOCK
    while True:
        stream = path.open(mode)
        try:
            if not take_lock(stream, shared=shared):
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
    try:
        if sys.platform == "win32":  # a file that is open is not removed there
            stream.close()
        remove_unused(aside)
    finally:
        stream.close()


def remove_unused(aside: Path) -> None:
    """Remove a folder that holds nothing but its lock, as far as that is possible."""
    with suppress(OSError):
        if [path.name for path in aside.iterdir()] == [LOCK]:
            (aside / LOCK).unlink()
            aside.rmdir()


def take_lock(stream: BinaryIO, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; return whether no other process has it.

    Shared locks go together, and with no other. On Windows all are exclusive.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        elif shared:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_vacant(target: Path) -> bool:
    """Return whether nothing is at a place, or an empty folder."""
    if not os.path.lexists(target):
        return True
    try:
        return not target.is_symlink() and not any(target.iterdir())
    except OSError:  # a file, or not for this user
        return False


def restore(aside: Path, target: Path) -> None:
    """Undo a replacement that ended between its two renames; the folder aside has to be locked.

    An empty folder that came to the place meanwhile gives way.

    Raises:
        OSError: the file system refuses.
    """
    if (aside / OLD).is_dir() and is_vacant(target):
        with suppress(FileNotFoundError):
            target.rmdir()
        (aside / OLD).rename(target)


def _restore_abandoned(folder: Path) -> None:
    """Undo a replacement that was killed between its two renames, where this process may."""
    with suppress(OSError, ValueError):  # ValueError: a path with a NUL
        target = folder.absolute()
        if target.name in ("", ".."):
            return  # neither the root nor the folder above is replaced
        aside = aside_of(target)
        if not (aside / OLD).is_dir() or not is_vacant(target):
            return
        stream = _lock(aside, "r+b", shared=False)
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
    try:
        if not (aside / LOCK).is_file():
            return False
        stream = _lock(aside, "rb", shared=True)
    except OSError:
        return False
    if stream is None:
        return False
    stream.close()
    return True
