"""Folders that appear complete or not at all, in place of what was there or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from carve_export.publish.folders import (
    exchange,
    keep,
    liken,
    require_movable,
    sync_files,
    sync_folder,
    sync_folders,
)
from carve_export.publish.place import absolute_place, require_free, typed
from carve_models.aside import (
    LOCK,
    NEW,
    OLD,
    aside_of,
    is_vacant,
    lock,
    remove_unused,
    restore,
    unlock,
)
from carve_models.errors import CarveError, ExportError
from carve_models.folder import FileEntry

#: A disk that is full, over its quota, read-only or failing, and a file that may not be as large.
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_PRIVATE = 0o700  # nobody else sees a bundle in the making
_OF_OTHERS = 0o077  # what group and others may do
#: What a file system without locks says; NFS says it where its server's service for them is off.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
#: Seconds in which readers that look at a folder, and exports that are ending, are done with it.
_PATIENCE, _PAUSE = 0.2, 0.01


class _Listing(Protocol):
    """A manifest that lists files."""

    @property
    def files(self) -> dict[str, FileEntry]: ...


@dataclass(frozen=True)
class Claim:
    """A place that this process alone may write to.

    Attributes:
        target: the place, an absolute path.
        folder: what comes there is made in this folder.
        overwrite: whether what is there is replaced.
    """

    target: Path
    folder: Path
    overwrite: bool

    @property
    def scratch(self) -> Path:
        """A free path for a folder that is needed on the way; it goes with the claim."""
        return self.folder.with_name("scratch")

    def publish(self, read: Callable[[Path], _Listing]) -> None:
        """Move the finished folder to its place, which holds the old or the new at every moment.

        Of what it replaces, the files that its manifest lists go and all others stay. What was
        written is on the disk first, so that a power loss does not leave names without content.

        Args:
            read: reads the manifest of what is there.

        Raises:
            ExportError: something came there meanwhile and may not be replaced, or the file system
                refuses; what is there stays as it was.
        """
        target, folder = self.target, self.folder
        require_free(target, overwrite=self.overwrite)  # something may have come there meanwhile
        with typed(target):
            sync_files(folder)
            if target.is_dir():
                liken(target, folder)
            if target.is_dir() and any(target.iterdir()):
                keep(target, folder, _listed(target, read))
                sync_folders(folder)
                exchange(target, folder, folder.with_name(OLD))
            else:
                sync_folders(folder)
                if target.is_dir():
                    target.rmdir()
                folder.rename(target)  # which fails if it is not empty by now
            sync_folder(target.parent)


@contextmanager
def claim(out: Path, *, overwrite: bool) -> Iterator[Claim]:
    """Claim a place for what is made there, against all other exports.

    What an export to that place left beside it when it was killed is removed first.

    Args:
        out: the place; folders above it are made.
        overwrite: whether what is there may be replaced.

    Raises:
        ExportError: it is not free, another export has claimed it, or it cannot be written.
    """
    require_free(out, overwrite=overwrite)
    target = absolute_place(out)
    aside = aside_of(target)
    with typed(target):
        stream = _own(aside, target)
    try:
        with typed(target):
            restore(aside, target)
            _clear(aside, target)
            (aside / NEW).mkdir()
            if not is_vacant(target):
                require_movable(target, aside)
        require_free(out, overwrite=overwrite)
        with typed(target, _STORAGE):
            yield Claim(target, aside / NEW, overwrite)
    except BaseException:
        with suppress(OSError):
            restore(aside, target)
        with suppress(OSError):
            _clear(aside, target, failed=True)
        raise
    else:
        _clear_replaced(aside, target)
    finally:
        unlock(aside, stream)


def _own(aside: Path, target: Path) -> BinaryIO:
    """Make and lock the folder beside the target; return the open lock."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            try:
                aside.mkdir(_PRIVATE, parents=True)
            except FileExistsError:
                _require_own(aside)
            stream = lock(aside)
        except FileNotFoundError:
            stream = None  # its last owner has just removed it
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            remove_unused(aside)
            raise ExportError(
                f"the file system of {target.parent} has no locks, without which two exports "
                f"could mix: {error.strerror}",
                "choose a folder on a local disk, and move it when it is written",
            ) from error
        if stream is not None:
            return stream
        if time.monotonic() > end:
            raise ExportError(
                f"another export is writing to {target}", "let it end, or choose another folder"
            )
        time.sleep(_PAUSE)


def _require_own(aside: Path) -> None:
    """Raise :class:`ExportError` if a folder that was there is not this user's alone."""
    status = aside.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise ExportError(f"{aside} is a link", "remove it: an export works in that folder")
    if not stat.S_ISDIR(status.st_mode):
        raise ExportError(f"{aside} is a file", "remove it: an export works in that folder")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid() or status.st_mode & _OF_OTHERS:
        raise ExportError(
            f"{aside} is there and, as its file system says, another user's or open to others",
            "see that no export uses it and remove it, or choose another folder",
        )


def _clear(aside: Path, target: Path, *, failed: bool = False) -> None:
    """Remove all but the lock, and but what was at the target if that may be its only copy."""
    kept = {LOCK, OLD} if failed or is_vacant(target) else {LOCK}
    for path in aside.iterdir():
        if path.name not in kept:
            shutil.rmtree(path)


def _clear_replaced(aside: Path, target: Path) -> None:
    try:
        _clear(aside, target)
    except OSError as error:
        raise ExportError(
            f"{target} is written, but what it replaced cannot be removed from {aside}: {error}",
            "remove that folder",
        ) from error


def _listed(target: Path, read: Callable[[Path], _Listing]) -> set[str]:
    """Return the files that the manifest at ``target`` lists; none if ``read`` cannot read it."""
    try:
        return set(read(target).files)
    except CarveError:
        return set()
