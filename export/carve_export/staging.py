"""Folders that appear complete or not at all, in place of what was there or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from carve_export.folders import exchange, keep, sync_files, sync_folder, sync_folders
from carve_models.aside import LOCK, NEW, OLD, aside_of, lock, restore, unlock
from carve_models.errors import CarveError, ExportError
from carve_models.folder import FileEntry
from carve_runtime.bundle import sha256

#: A disk that is full, over its quota, read-only or failing, and a file that may not be as large.
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_PRIVATE = 0o700  # nobody else sees a bundle in the making
#: Exports to one place that may end between making its folder and locking it.
_MOST_OWNERS = 100


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
        with _typed(target):
            sync_files(folder)
            if target.is_dir():
                shutil.copymode(target, folder)
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
    target = _place(out)
    aside = aside_of(target)
    with _typed(target):
        stream = _own(aside, target)
    try:
        with _typed(target):
            restore(aside, target)
            _clear(aside)
            (aside / NEW).mkdir()
        require_free(out, overwrite=overwrite)
        with _typed(target, _STORAGE):
            yield Claim(target, aside / NEW, overwrite)
    except BaseException:
        with suppress(OSError):
            _clear(aside)
        raise
    else:
        _clear_replaced(aside, target)
    finally:
        unlock(aside, stream)


def require_free(out: Path, *, overwrite: bool) -> None:
    """Raise :class:`ExportError` if something is at ``out`` that may not or cannot be replaced.

    A whole folder is replaced by another one. A link would lose what it is, a mount stays where it
    is, and a shell would be left in a folder that is gone: they are refused.
    """
    target = _place(out)
    if target.is_symlink():
        raise ExportError(f"{out} is a link", "give the folder that it leads to")
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{out} is a file", "choose a folder")
    if os.path.ismount(target):
        raise ExportError(f"{out} is a mounted file system", "choose a folder in it")
    if _working_folder().is_relative_to(target):
        raise ExportError(
            f"{out} holds the current folder", "change to another folder, or choose another"
        )
    if any(target.iterdir()) and not overwrite:
        raise ExportError(f"{out} is already there", "choose another folder, or pass --overwrite")
    effective = os.access in os.supports_effective_ids
    for folder, _, _ in os.walk(target):
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
            raise ExportError(f"{folder} is read-only", "allow writing, or choose another folder")


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            size=path.stat().st_size, sha256=sha256(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _place(out: Path) -> Path:
    """Return an absolute path whose last part may be a link, but no other."""
    path = out.absolute()
    if path.name in ("", ".."):
        return path.resolve()
    return path.parent.resolve() / path.name


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path()


def _own(aside: Path, target: Path) -> BinaryIO:
    """Make and lock the folder beside the target; return the open lock."""
    if aside.is_symlink():
        raise ExportError(f"{aside} is a link", "remove it: an export works in that folder")
    for _ in range(_MOST_OWNERS):
        aside.mkdir(_PRIVATE, parents=True, exist_ok=True)
        try:
            stream = lock(aside)
        except FileNotFoundError:
            continue  # its last owner has just removed it
        if stream is not None:
            return stream
        break
    raise ExportError(
        f"another export is writing to {target}", "let it end, or choose another folder"
    )


def _clear(aside: Path) -> None:
    """Remove all but the lock."""
    for path in aside.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path)


def _clear_replaced(aside: Path, target: Path) -> None:
    try:
        _clear(aside)
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


@contextmanager
def _typed(target: Path, codes: Collection[int] = ()) -> Iterator[None]:
    """Say what the system has refused, all of it or those error codes."""
    try:
        yield
    except shutil.Error as error:  # of a whole tree: source, copy and reason of each file
        raise _not_written(target, error.args[0][0][-1]) from error
    except OSError as error:
        if codes and error.errno not in codes:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise _not_written(target, f"{error.strerror or error}{where}") from error


def _not_written(target: Path, reason: str) -> ExportError:
    return ExportError(
        f"{target} cannot be written: {reason}",
        "see that its disk has room and that you may write beside it, or choose another folder",
    )
