"""Folders that a manifest describes, bundles and engines: what both check, and how they say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar

import msgspec

from carve_models.errors import CarveError


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
        writer: the command that makes one.
        again: how to get another one.
        error: class of what is wrong with one.
        schema_error: class of a manifest of another schema.
    """

    name: str
    manifest: str
    content: type[ListingT]
    schema: int
    writer: str
    again: str
    error: type[CarveError]
    schema_error: type[CarveError]

    def write(self, folder: Path, manifest: ListingT) -> None:
        """Write a manifest into ``folder``, complete or not at all."""
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        aside = folder / f".{self.manifest}.partial"
        aside.write_bytes(text + b"\n")
        aside.replace(folder / self.manifest)

    def read(self, folder: Path) -> ListingT:
        """Read and validate the manifest in ``folder``.

        Raises:
            CarveError: ``error`` if it is missing or malformed, or a path in it leaves the folder;
                ``schema_error`` if its schema is not the one that this version reads.
        """
        path = folder / self.manifest
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self.error(
                f"{folder} is not a {self.name}: {self.manifest} cannot be read ({error.strerror})",
                f"give the folder that {self.writer} wrote",
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
        except msgspec.DecodeError as error:
            raise self.error(f"{path} is malformed: {error}", self.again) from error
        for name in manifest.paths:
            self._require_inside(name)
        return manifest

    def _require_inside(self, name: str) -> None:
        """Raise ``error`` unless ``name`` is a relative path that stays in its folder."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise self.error(
                f"the manifest names {name!r}, outside the {self.name}",
                f"do not use this {self.name}; {self.again}",
            )
