"""Bundles of the Hugging Face hub.

In: a bundle as people name it, a folder or a repository. Out: a folder, fetched if it was not here.

The manifest lies in huggingface_hub's own cache, which knows the commit of each branch and tag, so
that what was fetched once is found without a network. The files that it lists lie beside, one
folder for each commit: real files, since ONNX Runtime, onnx and libcarve refuse weights behind the
links of that cache. The manifest comes into the folder last: without it the folder is no bundle.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from carve_models.aside import aside_of
from carve_models.errors import CarveError, HubError, SettingsError, first_line
from carve_models.folder import FileEntry
from carve_models.manifest import Manifest, read_manifest
from carve_models.names import MANIFEST_FILE
from carve_models.replacing import replacing
from carve_runtime.bundle import as_path, sha256
from carve_runtime.late_import import late_import

#: Names the bundle that ships with the package.
DEFAULT = "default"
#: The folder of huggingface_hub's cache for what belongs to one library.
_LIBRARY = "carve-vlm"
_LOCK = ".lock"
#: Statuses of HTTP.
_REFUSED = (401, 403)

_PART = r"[A-Za-z0-9_][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?:/({_PART}(?:/{_PART})*))?", re.ASCII)

_log = logging.getLogger(__name__)

#: A token, ``None`` for the one that is stored or in ``HF_TOKEN``, ``False`` for none.
Token = str | bool | None


@dataclass(frozen=True)
class HubName:
    """Where a bundle is on the hub.

    Attributes:
        repository: ``owner/name``.
        folder: of the bundle in it, with slashes; empty for the repository itself.
    """

    repository: str
    folder: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Read ``owner/name`` or ``owner/name/folder``; ``None`` for any other text."""
        found = _NAME.fullmatch(text)
        return None if found is None else cls(found[1], found[2] or "")

    def __str__(self) -> str:
        return f"{self.repository}/{self.folder}" if self.folder else self.repository

    def path(self, file: str) -> str:
        """Return the path, in the repository, of a file of the bundle."""
        return f"{self.folder}/{file}" if self.folder else file


def locate_bundle(
    bundle: str | os.PathLike[str] | None, *, revision: str | None = None, token: Token = None
) -> Path | None:
    """Return a bundle's folder; what is on the hub is fetched first.

    Args:
        bundle: a folder, or a repository as ``owner/name`` or ``owner/name/folder``. What is here
            comes first, and a text such as ``./owner/name`` is a folder. ``None`` and "default"
            are the bundle that ships with the package.
        revision: of a repository: a branch, tag or commit; its main branch if ``None``.
        token: for a repository that not everybody may read; the one that ``hf auth login`` stored
            or ``HF_TOKEN`` holds if ``None``.

    Returns:
        the folder; ``None`` for the default bundle. A folder that is not there is returned as it
        is: opening it says so.

    Raises:
        BundleError: what the repository holds is no bundle that this version reads.
        DependencyError: huggingface_hub is not installed.
        HubError: the repository cannot be read, or not in full.
        SettingsError: a revision of something that is no repository.
    """
    given = DEFAULT if bundle is None else bundle
    path = None if given == DEFAULT else as_path(given)
    # The text as given: a path drops the "./" that says that a folder is meant.
    name = None if path is None or _is_here(path) else HubName.parse(os.fspath(given))
    if name is not None:
        return _fetch(name, revision, token)
    if revision is not None:
        raise SettingsError(
            f"the revision is {revision!r}, and {given} is no repository of the hub",
            "give a repository as owner/name, or leave the revision out",
        )
    return path


def _is_here(path: Path) -> bool:
    """Whether something is at a path, or will be again once an export has put it there."""
    return os.path.lexists(path) or (path.name not in ("", "..") and aside_of(path).is_dir())


def _fetch(name: HubName, revision: str | None, token: Token) -> Path:
    """Return the folder of a bundle of the hub, with all that its manifest lists."""
    with hub_errors(name, revision, otherwise=f"there is no folder {name}, and ") as hub:
        remote = _Remote(hub, name, token)
        listing = remote.manifest(revision)
        manifest = read_manifest(listing.parent)
        commit = listing.parents[len(Path(name.folder).parts)].name
        _log.info("%s is at commit %s", name, commit)
        root = Path(hub.cached_assets_path(_LIBRARY, name.repository, commit))
        folder = root / name.folder
        if _lacking(folder, manifest) or not (folder / MANIFEST_FILE).is_file():
            with hub.utils.WeakFileLock(root / _LOCK):  # others may fetch the same
                for file in _lacking(folder, manifest):
                    remote.download(file, commit, manifest.files[file], root)
                with replacing(folder / MANIFEST_FILE) as aside:
                    aside.write_bytes(listing.read_bytes())
    return folder


def _lacking(folder: Path, manifest: Manifest) -> list[str]:
    """Return the files of a manifest that a folder does not have in full."""

    def is_whole(path: Path, size: int) -> bool:
        return path.is_file() and path.stat().st_size == size

    return [
        file for file, entry in manifest.files.items() if not is_whole(folder / file, entry.size)
    ]


@dataclass(frozen=True)
class _Remote:
    """A bundle on the hub."""

    hub: ModuleType
    name: HubName
    token: Token

    def manifest(self, revision: str | None) -> Path:
        """Fetch the manifest, or find the last one of this revision if the hub does not answer.

        Returns:
            its path in huggingface_hub's cache: in a folder that has the commit's name.
        """
        repository, file = self.name.repository, self.name.path(MANIFEST_FILE)
        if not isinstance(
            self.hub.try_to_load_from_cache(repository, file, revision=revision), str
        ):
            self._size(MANIFEST_FILE, revision)
        path = self.hub.hf_hub_download(repository, file, revision=revision, token=self.token)
        return Path(path)

    def download(self, file: str, commit: str, entry: FileEntry, root: Path) -> None:
        """Fetch a file into the folder of its commit: as the manifest lists it, or not at all."""
        size = self._size(file, commit)
        if size is not None and size != entry.size:
            raise self._not_whole(f"{file} has {size} bytes, its manifest says {entry.size}")
        path = root / self.name.path(file)
        _log.info("fetching %s of %s, %d bytes", self.name.path(file), self.name, entry.size)
        self.hub.hf_hub_download(
            self.name.repository,
            self.name.path(file),
            revision=commit,
            token=self.token,
            local_dir=root,
            force_download=path.is_file(),
        )
        if path.stat().st_size != entry.size or sha256(path) != entry.sha256:
            path.unlink()
            raise self._not_whole(f"{file} is not the file that its manifest describes")

    def _size(self, file: str, revision: str | None) -> int | None:
        """Return the size of a file, if the hub tells it.

        Asked before each download, which would try for half a minute to reach a hub that is not
        there.
        """
        url = self.hub.hf_hub_url(self.name.repository, self.name.path(file), revision=revision)
        try:
            metadata = self.hub.get_hf_file_metadata(url, token=self.token)
        except self.hub.errors.EntryNotFoundError as error:
            raise self._not_whole(f"it has no {file}") from error
        size: int | None = metadata.size
        return size

    def _not_whole(self, found: str) -> HubError:
        return HubError(
            f"{self.name} holds no whole bundle: {found}",
            "try again; if it stays so, let its owner push it again, or give another revision",
        )


@contextmanager
def hub_errors(
    name: HubName, revision: str | None = None, *, otherwise: str = ""
) -> Iterator[ModuleType]:
    """Yield huggingface_hub, and turn what it raises into :class:`HubError`.

    Args:
        name: what it is asked for.
        revision: of that.
        otherwise: what else the name could have been, at the head of what is said of it.

    Raises:
        DependencyError: it is not installed.
    """
    hub = late_import(
        "huggingface_hub", "what reads the hub", 'install its extra: pip install "carve-vlm[hub]"'
    )
    try:
        yield hub
    except (CarveError, MemoryError):
        raise
    except Exception as error:  # its own, its HTTP client's and the system's
        cause, remedy = _explained(hub, error, name, revision)
        raise HubError(otherwise + cause, remedy) from error


def _explained(
    hub: ModuleType, error: Exception, name: HubName, revision: str | None
) -> tuple[str, str]:
    """Return what happened in terms of what was asked for, and what to do."""
    errors, endpoint, repository = hub.errors, hub.constants.ENDPOINT, name.repository
    log_in = "log in with hf auth login, or set HF_TOKEN"
    known: tuple[tuple[type[Exception], str, str], ...] = (
        (
            errors.GatedRepoError,
            f"{repository} is gated, and its owner has not let you in",
            f"ask for access at {endpoint}/{repository}, and {log_in}",
        ),
        (
            errors.RepositoryNotFoundError,
            f"{endpoint} has no repository {repository}, or none that you may read",
            f"check the name; if the repository is private, {log_in}",
        ),
        (
            errors.RevisionNotFoundError,
            f"{repository} has no revision {revision!r}",
            "give one of its branches, tags or commits",
        ),
        (
            errors.OfflineModeIsEnabled,
            f"{name} was not fetched in full before HF_HUB_OFFLINE was set",
            "unset HF_HUB_OFFLINE once, with a network, or give a folder",
        ),
        (errors.LocalTokenNotFoundError, f"{endpoint} does not know who you are", log_in),
        (
            errors.HFValidationError,
            f"{repository} cannot be a repository's name ({first_line(error)})",
            "check the name",
        ),
    )
    for kind, cause, remedy in known:
        if isinstance(error, kind):
            return cause, remedy
    if getattr(getattr(error, "response", None), "status_code", None) in _REFUSED:
        return f"{endpoint} refuses the token, or it does not suffice", log_in
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return (
            f"{error.filename or 'a file'} cannot be read or written ({error.strerror})",
            "free space, or let HF_HOME name a folder that you may write to",
        )
    return (
        f"{name} cannot be exchanged with {endpoint} ({first_line(error)})",
        "check the network, and HF_ENDPOINT if it is set; what came whole is not sent again",
    )
