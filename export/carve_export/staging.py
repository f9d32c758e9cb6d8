"""Folders that appear complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from carve_models.errors import CarveError, ExportError
from carve_models.folder import FileEntry
from carve_runtime.bundle import sha256


class _Listing(Protocol):
    """A manifest that lists files."""

    @property
    def files(self) -> dict[str, FileEntry]: ...


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raise :class:`ExportError` if something is at ``target`` that may not be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file", "choose a folder")
    if any(target.iterdir()) and not overwrite:
        raise ExportError(
            f"{target} is already there", "choose another folder, or pass --overwrite"
        )


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside the target; it is removed unless it became the target."""
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            size=path.stat().st_size, sha256=sha256(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listed(target: Path, read: Callable[[Path], _Listing]) -> list[str]:
    """Return the files that the manifest at ``target`` lists; none if ``read`` cannot read it."""
    try:
        return list(read(target).files)
    except CarveError:
        return []


def publish(folder: Path, target: Path, manifest: str, replaced: Iterable[str]) -> None:
    """Move a finished folder into place, its manifest last: without one it cannot be used.

    Args:
        folder: what :func:`staging` gave.
        target: its place.
        manifest: name of the manifest; the old one is removed first, the new one comes last.
        replaced: what :func:`listed` gives: these files are removed, and nothing else.
    """
    folder.chmod(0o755)  # mkdtemp makes private folders
    if not target.exists():
        folder.rename(target)
        return
    (target / manifest).unlink(missing_ok=True)
    for name in replaced:
        (target / name).unlink(missing_ok=True)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: path.name == manifest):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).replace(target / file)
