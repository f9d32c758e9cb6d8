"""The file of ``--settings``: prompts and default settings of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from carve_models.errors import SettingsError
from carve_models.folder import MALFORMED, read_document


class SettingsFile(msgspec.Struct, forbid_unknown_fields=True):
    """What ``--settings`` may hold."""

    prompts: dict[str, str] = {}
    defaults: dict[str, Any] = {}


def read_settings(path: Path | None) -> SettingsFile:
    """Return what a file holds; nothing if there is none.

    Raises:
        SettingsError: it cannot be read, or holds something else.
    """
    if path is None:
        return SettingsFile()
    try:
        return msgspec.json.decode(read_document(path), type=SettingsFile)
    except (OSError, *MALFORMED) as error:
        raise SettingsError(
            f"{path} is not a settings file: {error}", "see the example in carve-export --help"
        ) from error
