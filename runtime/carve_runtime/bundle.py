"""Open a bundle: read its manifest and check its files before anything is loaded."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import carve_models
from carve_models.aside import read_whole
from carve_models.errors import BundleError
from carve_models.folder import FileEntry, FolderKind
from carve_models.interface import require_interface
from carve_models.manifest import BUNDLE, Manifest, read_manifest
from carve_models.names import MANIFEST_FILE, TOKENIZER_FILE
from carve_runtime.external_data import external_locations
from carve_runtime.verified import FileState, VerifiedFiles

DEFAULT_BUNDLE = "pocket"
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return the path of a file that the manifest lists."""
        return self.folder / name


def default_bundle() -> Path:
    """Return the folder of the bundle that ships with the package.

    Raises:
        BundleError: this installation carries no bundle.
    """
    package = Path(carve_models.__file__).parent
    # An installed wheel has it inside the package, a source tree beside it.
    for folder in (package / DEFAULT_BUNDLE, package.parent / DEFAULT_BUNDLE):
        if folder.is_dir():
            return folder
    raise BundleError("this installation has no default bundle", "give a bundle's folder")


def open_bundle(
    folder: str | os.PathLike[str] | None = None, *, verify: bool | None = None
) -> Bundle:
    """Read a bundle's manifest and check that every file it lists is there and unchanged.

    One that an export replaces meanwhile is read again.

    Args:
        folder: the bundle's folder; ``None`` is the default bundle.
        verify: compare the files' SHA-256 sums, which reads every byte. ``None`` does it once: a
            file is not read again while size, times, inode and device are those that it had then
            (:mod:`carve_runtime.verified`). ``False`` compares sizes alone.

    Raises:
        BundleError: a missing, truncated, changed or unlisted file, or a malformed manifest.
        SchemaError: a manifest of another schema.
    """
    return load_bundle(folder, lambda bundle: bundle, verify=verify)


def load_bundle(
    folder: str | os.PathLike[str] | None,
    load: Callable[[Bundle], T],
    *,
    verify: bool | None = None,
) -> T:
    """Open a bundle as :func:`open_bundle` does and load it; all of it is of one export.

    Args:
        folder: the bundle's folder; ``None`` is the default bundle.
        load: reads the files; it is called again if the bundle was replaced meanwhile.
        verify: see :func:`open_bundle`.
    """
    root = default_bundle() if folder is None else as_path(folder)
    return read_whole(root, MANIFEST_FILE, lambda: load(_open(root, verify)))


def as_path(folder: str | os.PathLike[str]) -> Path:
    """Return the path of a folder that a caller gave, or raise :class:`BundleError`."""
    if not isinstance(folder, (str, os.PathLike)):
        raise BundleError(f"the bundle is {type(folder).__name__!r}", "give a folder's path")
    return Path(folder)


def _open(root: Path, verify: bool | None) -> Bundle:
    manifest = read_manifest(root)
    require_interface(manifest)
    for name in [TOKENIZER_FILE, *(graph.file for graph in manifest.graphs.values())]:
        if name not in manifest.files:
            raise BundleError(
                f"the manifest of {root} does not list {name}", "export the checkpoint again"
            )
    if verify is False:
        for name, entry in manifest.files.items():
            require_file(BUNDLE, root, name, entry, verify=False)
    else:
        _require_verified(root, manifest, again=verify is True)
    if _has_more_files(root, manifest):
        for graph in manifest.graphs.values():
            _require_listed_weights(root, manifest, graph.file)
    _log.info("opened %s: %s, profile %s", root, manifest.family, manifest.profile)
    return Bundle(root, manifest)


def _has_more_files(root: Path, manifest: Manifest) -> bool:
    """Whether files that the manifest does not list lie where graphs look for their weights."""
    folders = {posixpath.dirname(graph.file) for graph in manifest.graphs.values()}
    try:
        found = {path for folder in folders for path in (root / folder).iterdir()}
    except OSError:
        return True
    return not found <= {root / name for name in manifest.files}


def _require_listed_weights(root: Path, manifest: Manifest, file: str) -> None:
    """Raise :class:`BundleError` if a graph reads weights of a file that the manifest omits."""
    try:
        locations = external_locations(root / file)
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{root / file} cannot be loaded: {error}",
            f"{BUNDLE.again}, or copy the bundle again",
        ) from error
    for location in sorted(locations):
        data = posixpath.normpath(posixpath.join(posixpath.dirname(file), location))
        if data not in manifest.files:
            raise BundleError(
                f"{root / file} has weights in {location!r}, which the manifest does not list",
                f"do not use this bundle; copy it again, or {BUNDLE.again}",
            )


def _require_verified(root: Path, manifest: Manifest, *, again: bool) -> None:
    """Check every file; compare the sums of those that are not remembered, or of all ``again``."""
    remembered = VerifiedFiles()
    graphs = {graph.file for graph in manifest.graphs.values()}
    try:
        for name, entry in manifest.files.items():
            require_file(BUNDLE, root, name, entry, verify=False)
            path = root / name
            with _readable(BUNDLE, path):
                state = FileState.of(path, entry.sha256)
                if again:
                    remembered.forget(state)
                if state not in remembered:
                    require_file(BUNDLE, root, name, entry, verify=True)
                    if name in graphs:
                        _require_listed_weights(root, manifest, name)
                    remembered.add(path, state)
    finally:
        remembered.save()


def require_file(
    kind: FolderKind[Any], root: Path, name: str, entry: FileEntry, *, verify: bool
) -> None:
    """Check that a listed file is there and unchanged.

    Args:
        kind: what the folder is, whose error class is raised.
        root: the folder.
        name: the file's path in it.
        entry: what its manifest says of the file.
        verify: compare its SHA-256 sum too, which reads every byte.
    """
    path = root / name
    copy_again = f"copy the {kind.name} again, or {kind.again}"
    with _readable(kind, path):
        if not path.is_file():
            raise kind.error(f"{path} is missing", f"copy the whole {kind.name}, or {kind.again}")
        if not path.resolve().is_relative_to(root.resolve()):
            raise kind.error(
                f"{path} is a link that leaves the {kind.name}", "copy the file itself"
            )
        size = path.stat().st_size
        if size != entry.size:
            raise kind.error(f"{path} has {size} bytes, the manifest says {entry.size}", copy_again)
        same = not verify or sha256(path) == entry.sha256
    if not same:
        raise kind.error(
            f"{path} is not the file that the manifest describes (its SHA-256 differs)", copy_again
        )


@contextmanager
def _readable(kind: FolderKind[Any], path: Path) -> Iterator[None]:
    """Turn what the system says of a file, one that vanished meanwhile too, into the kind's error.

    A loop of links is a ``RuntimeError`` before Python 3.13.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise kind.error(
            f"{path} cannot be read ({reason})",
            f"check that you may read it, copy the {kind.name} again, or {kind.again}",
        ) from error


def sha256(path: Path) -> str:
    """Return a file's SHA-256 sum in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
