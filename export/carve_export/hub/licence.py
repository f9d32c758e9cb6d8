"""The licence of a checkpoint, as its own model card states it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from carve_models.errors import SettingsError
from carve_runtime.hub import HubName, hub_errors

_CARD = "README.md"
#: Fields of a model card.
_LICENCE, _FIELDS = "license", ("license", "license_name", "license_link")


def stated_licence(given: str | None, source: str, *, folder: Path | None = None) -> dict[str, str]:
    """Return the fields of a model card that state the licence of a checkpoint.

    Args:
        given: the licence by its name on the hub, if the user said it.
        source: the checkpoint, as a manifest names it: a hub id, or the name of a folder.
        folder: that folder, where it is known.

    Raises:
        HubError: the checkpoint's repository cannot be read.
        SettingsError: neither the user nor a model card states the licence.
    """
    fields = {_LICENCE: given} if given else _of_card(source, folder)
    if _LICENCE not in fields:
        raise SettingsError(
            f"no model card states the licence of {source}",
            "read its licence, and give its name on the hub as --licence, such as apache-2.0",
        )
    return fields


def _of_card(source: str, folder: Path | None) -> dict[str, str]:
    name = HubName.parse(source)
    if folder is not None:
        with hub_errors(HubName(source)) as hub:
            data = _of_folder(hub, folder)
    elif name is not None:
        with hub_errors(name) as hub:
            data = hub.model_info(name.repository).card_data
    else:
        data = None
    values = {field: data.get(field) for field in _FIELDS} if data is not None else {}
    return {field: value for field, value in values.items() if isinstance(value, str)}


def _of_folder(hub: ModuleType, folder: Path) -> Any:
    path = folder / _CARD
    return hub.ModelCard.load(path).data if path.is_file() else None
