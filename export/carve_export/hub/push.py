"""A bundle's folder to a repository of the hub, in one commit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

from carve_export.hub.card import model_card
from carve_models.errors import SettingsError
from carve_models.names import MANIFEST_FILE
from carve_runtime.bundle import Bundle, load_bundle
from carve_runtime.hub import HubName, hub_errors

_CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """How to push.

    Attributes:
        licence: fields of the model card, see :func:`carve_export.hub.licence.stated_licence`.
        private: whether a repository that is made is private; as its owner usually has it if
            ``None``. One that is there stays as it is.
        revision: branch to push to, made if it is missing; the main one if ``None``.
        new_card: write the model card anew where the repository has one.
    """

    licence: dict[str, str]
    private: bool | None = None
    revision: str | None = None
    new_card: bool = False


def hub_name(text: str) -> HubName:
    """Return the place that a user names, or raise :class:`SettingsError`."""
    name = HubName.parse(text)
    if name is None:
        raise SettingsError(
            f"{text!r} is no repository of the hub", "give owner/name, or owner/name/folder"
        )
    return name


def require_login(name: HubName) -> None:
    """Ask the hub who the user is, before anything that takes long.

    Raises:
        HubError: it does not know, or cannot be reached.
    """
    with hub_errors(name) as hub:
        hub.whoami()


def push_bundle(folder: str | os.PathLike[str], name: HubName, options: PushOptions) -> str:
    """Upload all that a bundle's manifest lists, the manifest, and a model card.

    The repository is made if it is missing. One commit holds everything: it has the whole bundle or
    what it had before.

    Args:
        folder: the bundle; its files' SHA-256 sums are compared first.
        name: where it comes to.
        options: see :class:`PushOptions`.

    Returns:
        the commit's address.

    Raises:
        BundleError: a file is missing, truncated, swapped or malformed.
        HubError: the hub refuses, or cannot be reached.
    """

    def push(bundle: Bundle) -> str:
        with hub_errors(name, options.revision) as hub:
            return _push(hub, bundle, name, options)

    return load_bundle(folder, push, verify=True)


def _push(hub: ModuleType, bundle: Bundle, name: HubName, options: PushOptions) -> str:
    api, repository = hub.HfApi(), name.repository
    api.create_repo(repository, private=options.private, exist_ok=True)
    if options.revision is not None:
        api.create_branch(repository, branch=options.revision, exist_ok=True)
    files = {
        name.path(file): str(bundle.path(file)) for file in (*bundle.manifest.files, MANIFEST_FILE)
    }
    added = [hub.CommitOperationAdd(path, file) for path, file in files.items()]
    if options.new_card or not api.file_exists(repository, _CARD, revision=options.revision):
        card = model_card(hub, bundle.manifest, name, options.licence)
        added.append(hub.CommitOperationAdd(_CARD, card.encode()))
    commit = api.create_commit(
        repository,
        added,
        commit_message=f"Add a bundle of {bundle.manifest.source} for CARVE",
        revision=options.revision,
    )
    return str(commit.commit_url)
