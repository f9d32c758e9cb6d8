"""Places that a folder may come to, and what is said of those where it cannot."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from carve_export.publish.mounts import mounted_in
from carve_models.aside import is_vacant
from carve_models.errors import ExportError


def require_free(out: Path, *, overwrite: bool) -> None:
    """Raise :class:`ExportError` if something is at ``out`` that may not or cannot be replaced.

    A whole folder is replaced by another one. A link would lose what it is, a mount stays where it
    is, and a shell would be left in a folder that is gone: they are refused.
    """
    target = absolute_place(out)
    with typed(target):
        _require_free(out, target, overwrite)


def _require_free(out: Path, target: Path, overwrite: bool) -> None:
    if target.is_symlink():
        raise ExportError(f"{out} is a link", "give the folder that it leads to")
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{out} is a file", "choose a folder")
    mount = mounted_in(target)
    if mount == target:
        raise ExportError(f"{out} is a mounted file system", "choose a folder in it")
    if mount is not None:
        raise ExportError(
            f"{out} holds a mounted file system, {mount}", "unmount that, or choose another folder"
        )
    if _working_folder().is_relative_to(target):
        raise ExportError(
            f"{out} holds the current folder", "change to another folder, or choose another"
        )
    if not is_vacant(target) and not overwrite:
        raise ExportError(f"{out} is already there", "choose another folder, or pass --overwrite")
    effective = os.access in os.supports_effective_ids
    for folder, _, _ in os.walk(target):
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
            raise ExportError(f"{folder} is read-only", "allow writing, or choose another folder")


def require_apart(out: Path, source: Path, what: str) -> None:
    """Raise :class:`ExportError` if ``out`` is the folder that is read, which it would replace."""
    if out.exists() and out.samefile(source):
        raise ExportError(f"{out} is {what}", "choose another folder for the result")


def absolute_place(out: Path) -> Path:
    """Return an absolute path whose last part may be a link, but no other."""
    try:
        path = out.absolute()
        os.fsencode(path)
        if "\0" in path.name:
            raise ValueError("it has a NUL in it")  # the system would say that later
        if path.name in ("", ".."):
            return path.resolve()
        return path.parent.resolve() / path.name
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a ring
        raise ExportError(
            f"nothing can be written to {str(out)!r}: {error}", "choose another folder"
        ) from error


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path()


@contextmanager
def typed(target: Path, codes: Collection[int] = ()) -> Iterator[None]:
    """Turn what the system refuses while a place is written into :class:`ExportError`.

    Args:
        target: the place.
        codes: the error codes that are meant; all if there are none.
    """
    try:
        yield
    except shutil.Error as error:  # of a whole tree: source, copy and reason of each file
        raise _not_written(target, error.args[0][0][-1]) from error
    except OSError as error:
        if codes and error.errno not in codes:
            raise
        if error.errno == errno.EXDEV:
            raise ExportError(
                f"{target} cannot be replaced in one step: its file system does not move it, as "
                "overlayfs does not move what came with a container's image",
                "remove it first, or choose another folder",
            ) from error
        where = f" ({error.filename})" if error.filename else ""
        raise _not_written(target, f"{error.strerror or error}{where}") from error


def _not_written(target: Path, reason: str) -> ExportError:
    return ExportError(
        f"{target} cannot be written: {reason}",
        "see that its disk has room and that you may write beside it, or choose another folder",
    )
