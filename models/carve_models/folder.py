"""Folders that a manifest describes, bundles and engines: what both check, and how they say it."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar

import msgspec

from carve_models.errors import CarveError
from carve_models.replacing import write_json


class Listing(Protocol):
    """What a manifest is, whichever folder it describes."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it names, relative to its folder."""
        ...


ListingT = TypeVar("ListingT", bound=Listing)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    size: int
    sha256: str


#: What msgspec raises of a JSON document that is malformed: wrong in itself or of the wrong types,
#: not UTF-8 (a ``ValueError``), or nested too deep.
MALFORMED = (msgspec.DecodeError, ValueError, RecursionError)


def stays_inside(name: str) -> bool:
    """Return whether a name is a relative path that stays in its folder, on every system."""
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    return name.isprintable() and not leaves


#: Bytes of a JSON document; the manifest of a model of a thousand layers has fewer.
_LARGEST = 64 << 20


def read_document(path: Path) -> bytes:
    """Return the content of a JSON file.

    Raises:
        OSError: it is not there, is no regular file (a pipe would never end), or is too large.
    """
    try:
        status = path.stat()
    except ValueError as error:  # a path with a NUL
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    if status.st_size > _LARGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


@dataclass(frozen=True)
class _Header:
    schema_version: int


@dataclass(frozen=True, kw_only=True)
class FolderKind(Generic[ListingT]):
    """One kind of folder.

    Attributes:
        name: what it is called.
        manifest: file name of its manifest.
        content: class of its manifest.
        schema: version of the manifest that is read and written.
        source: where one comes from, a clause that begins with "the folder".
        again: how to get another one.
        error: class of what is wrong with one.
        schema_error: class of a manifest of another schema.
    """

    name: str
    manifest: str
    content: type[ListingT]
    schema: int
    source: str
    again: str
    error: type[CarveError]
    schema_error: type[CarveError]

    def write(self, folder: Path, manifest: ListingT) -> None:
        """Write a manifest into ``folder``, complete or not at all."""
        write_json(folder / self.manifest, manifest)

    def read(self, folder: Path) -> ListingT:
        """Read and validate the manifest in ``folder``.

        Raises:
            CarveError: ``error`` if it is missing or malformed, or a path in it leaves the folder;
                ``schema_error`` if its schema is not the one that this version reads.
        """
        path = folder / self.manifest
        try:
            data = read_document(path)
        except OSError as error:
            raise self.error(
                f"{folder} is not a {self.name}: {self.manifest} cannot be read ({error.strerror})",
                f"give {self.source}",
            ) from error
        try:
            version = msgspec.json.decode(data, type=_Header).schema_version
            if version != self.schema:
                raise self.schema_error(
                    f"{path} has schema version {version}; this version of carve-vlm reads "
                    f"{self.schema}",
                    "upgrade carve-vlm" if version > self.schema else self.again,
                )
            manifest = msgspec.json.decode(data, type=self.content)
        except MALFORMED as error:
            raise self.error(f"{path} is malformed: {error}", self.again) from error
        for name in manifest.paths:
            self._require_inside(name)
        return manifest

    def _require_inside(self, name: str) -> None:
        """Raise ``error`` unless ``name`` is a relative path that stays in its folder."""
        if not stays_inside(name):
            raise self.error(
                f"the manifest names {name!r}, outside the {self.name}",
                f"do not use this {self.name}; {self.again}",
            )
