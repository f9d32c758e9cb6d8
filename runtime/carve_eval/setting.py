"""What is compared, as it is written on the command line: a crop and its hyper-parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from carve_eval.methods import CROPS, REGIONS, Method
from carve_models.cli import parse_layers
from carve_models.errors import SettingsError
from carve_models.settings import Settings

#: The name of the bundle's own settings.
DEFAULT = "default"
#: Chooses where the closer look goes; every other name is a setting's.
_CROP = "crop"


@dataclass(frozen=True)
class Setting:
    """A crop and hyper-parameters under the name that tables give them."""

    label: str
    crop: str
    settings: Settings

    @property
    def file_name(self) -> str:
        """The label, without what file names should not have."""
        return re.sub(r"[^\w.=-]+", "_", self.label)

    def is_usual(self, defaults: Settings) -> bool:
        """Return whether this is CARVE with a bundle's own settings, and for every question."""
        return self.crop == REGIONS and self.settings == replace(defaults, adaptive=False)

    @property
    def way(self) -> Method:
        """What answers."""
        return CROPS[self.crop]


@dataclass(frozen=True)
class Changes:
    """Changes to a bundle's default settings, as written."""

    label: str
    crop: str
    changes: dict[str, Any]

    def apply(self, defaults: Settings) -> Setting:
        """Return the setting.

        Raises:
            SettingsError: an unknown name, a value out of range, or one that does not go with the
                crop.
        """
        setting = Setting(self.label, self.crop, defaults.override(**self.changes))
        unused = sorted(set(self.changes) - setting.way.uses)
        if unused:
            raise SettingsError(
                f"the crop {self.crop} does not use {unused[0]}",
                f"leave it out, or choose from {', '.join(sorted(setting.way.uses))}",
            )
        setting.way.require(setting.settings)
        return setting


def parse_changes(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> tuple[Changes, ...]:
    """Read ``"default"`` or ``"crop=square method=relative layers=14"``; a click callback."""
    parsed = [_parse(context, parameter, " ".join(value.split()) or DEFAULT) for value in values]
    if len({entry.label for entry in parsed}) < len(parsed):
        raise click.BadParameter("the same setting is given twice.")
    return tuple(parsed)


def _parse(context: click.Context, parameter: click.Parameter, label: str) -> Changes:
    changes: dict[str, Any] = {}
    for part in label.split() if label != DEFAULT else ():
        name, equals, text = part.partition("=")
        if not equals or name in changes:
            raise click.BadParameter(
                f'{part!r} is not a change such as "mask_top_p=0.4", or occurs twice.'
            )
        layers = name == "layers"
        changes[name] = parse_layers(context, parameter, text) if layers else _number(text)
    crop = changes.pop(_CROP, REGIONS)
    if crop not in CROPS:
        raise click.BadParameter(f"{crop!r} is not a crop; choose from {', '.join(CROPS)}.")
    return Changes(label, crop, changes)


def _number(text: str) -> Any:
    """Return a number where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
