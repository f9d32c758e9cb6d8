"""Whole folders on a disk: exchanged, kept through a power loss, listed, given another's files."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from carve_models.folder import FileEntry
from carve_runtime.bundle import sha256

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
#: What ``renameat2`` says where the kernel or the file system cannot exchange.
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def exchange(first: Path, second: Path, spare: Path) -> None:
    """Let two folders of one file system change places.

    On Linux this is a single step, except on file systems that cannot do it (NFS is one); elsewhere
    three renames, and nothing is at ``first`` between the first two of them.

    Args:
        first: a folder.
        second: another folder.
        spare: a free path on the same file system; what was at ``first`` passes through it, and
            stays there if the last rename fails.

    Raises:
        OSError: they stay as they were; only if undoing the first rename fails too is nothing at
            ``first``, and what was there at ``spare``.
    """
    if _exchange_at_once(first, second):
        return
    try:
        _rename(first, spare)
        _rename(second, first)
    except BaseException:
        if os.path.lexists(spare) and not os.path.lexists(first):
            with suppress(OSError):
                _rename(spare, first)
        raise
    with suppress(OSError):
        _rename(spare, second)


def _rename(folder: Path, to: Path) -> None:
    """Rename a folder; an error of a rename that was done is none (NFS may ask twice).

    Raises:
        OSError: it is where it was.
    """
    before = folder.stat()
    try:
        folder.rename(to)
    except OSError:
        with suppress(OSError):
            if not os.path.lexists(folder) and os.path.samestat(before, to.lstat()):
                return
        raise


def require_movable(folder: Path, full: Path) -> None:
    """Raise ``OSError`` (``EXDEV``) if a file system cannot move a folder; nothing is moved.

    Linux's overlayfs cannot where the folder is of a lower layer, such as a container's image.

    Args:
        folder: the folder.
        full: a folder that is not empty. Nothing can be renamed to that, and what the system says
            instead tells whether it could have moved the folder elsewhere.
    """
    if sys.platform != "linux":
        return
    try:
        folder.rename(full)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise


def _exchange_at_once(first: Path, second: Path) -> bool:
    """Let two paths change places in one step; return whether that is possible here."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):  # older C libraries
        return False
    paths = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    if library.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def sync_files(folder: Path) -> None:
    """Wait until all files under a folder are on the disk."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            _sync(path)


def sync_folders(folder: Path) -> None:
    """Wait until a folder and those under it, that is their files' names, are on the disk."""
    for below in [path for path in folder.rglob("*") if path.is_dir()] + [folder]:
        sync_folder(below)


def sync_folder(folder: Path) -> None:
    """Wait until the names in one folder are on the disk, where the system can do that."""
    if os.name == "nt":
        return
    try:
        _sync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what file systems say that sync files alone
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep(old: Path, new: Path, replaced: Collection[str]) -> None:
    """Give a folder what another one holds, except what it has itself; links are not followed.

    Files are linked, not moved, so that each folder is whole at every moment; where the file system
    has no hard links they are copied.

    Args:
        old: the folder to take from; it is not changed.
        new: the folder to add to.
        replaced: paths of files, with ``/``, relative to ``old``, that are not taken.
    """
    for path in _contents(old):
        if path.as_posix() in replaced or os.path.lexists(new / path):
            continue
        for parent in reversed(path.parents):
            _make_like(old / parent, new / parent)
        if (old / path).is_symlink():
            (new / path).symlink_to((old / path).readlink())
        elif (old / path).is_dir():
            _make_like(old / path, new / path)
        else:
            _link(old / path, new / path)


def _contents(folder: Path) -> Iterator[Path]:
    """Yield files, links and empty folders under a folder, relative to it."""
    for name, folders, files in os.walk(folder, onerror=_raise):
        here = Path(name).relative_to(folder)
        links = [below for below in folders if Path(name, below).is_symlink()]
        yield from (here / below for below in [*files, *links])
        if not folders and not files:
            yield here


def _raise(error: OSError) -> NoReturn:
    raise error


def _make_like(old: Path, new: Path) -> None:
    """Make a folder with another's owner, permissions and attributes unless it is there."""
    if not new.is_dir():
        new.mkdir()
        liken(old, new)


def liken(old: Path, new: Path) -> None:
    """Give a folder the owner and group of another, where this user may, and all its attributes."""
    if sys.platform != "win32":
        status = old.stat()
        for owner in ((-1, status.st_gid), (status.st_uid, -1)):
            with suppress(PermissionError):
                os.chown(new, *owner)
    shutil.copystat(old, new)  # at last: a new owner takes bits of the mode away


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # no hard links here, or none to files of others
        shutil.copy2(old, new)
        _sync(new)


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            size=path.stat().st_size, sha256=sha256(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
