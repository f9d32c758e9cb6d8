"""Hyper-parameters as they are written on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from carve_models.cli import parse_layers
from carve_models.settings import Settings

#: The name of the bundle's own settings.
DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters under the name that tables give them."""

    label: str
    settings: Settings

    @property
    def file_name(self) -> str:
        """The label, without what file names should not have."""
        return re.sub(r"[^\w.=-]+", "_", self.label)


@dataclass(frozen=True)
class Changes:
    """Changes to a bundle's default settings, as written."""

    label: str
    changes: dict[str, Any]

    def apply(self, defaults: Settings) -> Setting:
        """Return the setting.

        Raises:
            SettingsError: an unknown name, or a value out of range.
        """
        return Setting(self.label, defaults.override(**self.changes))


def parse_changes(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> tuple[Changes, ...]:
    """Read ``"default"`` or ``"variant=v4 mask_top_p=0.4 layers=20-25"``; a click callback."""
    parsed = []
    for value in values:
        label = " ".join(value.split())
        changes: dict[str, Any] = {}
        for part in label.split() if label != DEFAULT else ():
            name, equals, text = part.partition("=")
            if not equals or name in changes:
                raise click.BadParameter(
                    f'{part!r} is not a change such as "mask_top_p=0.4", or occurs twice.'
                )
            layers = name == "layers"
            changes[name] = parse_layers(context, parameter, text) if layers else _number(text)
        parsed.append(Changes(label or DEFAULT, changes))
    if len({entry.label for entry in parsed}) < len(parsed):
        raise click.BadParameter("the same setting is given twice.")
    return tuple(parsed)


def _number(text: str) -> Any:
    """Return a number where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
