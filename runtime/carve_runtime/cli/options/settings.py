"""The settings of every command that asks: one option for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

import click

from carve_models.cli import parse_layers
from carve_models.settings import (
    AUTO,
    VARIANTS,
    Contrast,
    FinalPrompt,
    Geometry,
    MapMethod,
    ResizeRefined,
    Rule,
    SettingsChanges,
    Steps,
    Strategy,
)
from carve_runtime.images.load import MAX_IMAGE_PIXELS

PLAIN_OPTION = click.option("--plain", is_flag=True, help="Give the plain answer alone.")

MAX_IMAGE_PIXELS_OPTION = click.option(
    "--max-image-pixels",
    type=int,
    default=MAX_IMAGE_PIXELS,
    show_default=True,
    help="Most pixels of an image; reading more takes more than 1 GB.",
)

_FLOAT = click.types.convert_type(float)


def _number_or_auto(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | str | None:
    """Take a number or the word "auto"."""
    return value if value in (None, AUTO) else _FLOAT.convert(value, parameter, context)


def _texts_or_none(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Keep the bundle's where none is given."""
    return value or None


#: Options that take a number or "auto".
_AUTO: dict[str, Any] = {"callback": _number_or_auto, "metavar": f"FLOAT|{AUTO}"}

_OPTIONS = (
    click.option(
        "--variant", type=click.Choice(list(VARIANTS)), help="The released code's variants."
    ),
    click.option(
        "--steps", type=click.Choice(get_args(Steps)), help="Forward steps that are fused."
    ),
    click.option("--layers", callback=parse_layers, help='Decoder layers, as "20-25" or "3,5".'),
    click.option("--mask-top-p", **_AUTO, help="Share of pixels that the threshold keeps."),
    click.option("--max-regions", type=int, help="Regions kept."),
    click.option(
        "--strategy", type=click.Choice(get_args(Strategy)), help="How regions are ranked."
    ),
    click.option("--rule", type=click.Choice(get_args(Rule)), help="How many regions are kept."),
    click.option(
        "--outlier-percent", type=float, help="Smallest region for remove_small, in percent."
    ),
    click.option(
        "--method", type=click.Choice(get_args(MapMethod)), help="How the attention is read."
    ),
    click.option(
        "--general-instruction",
        "general_instructions",
        multiple=True,
        callback=_texts_or_none,
        metavar="TEXT",
        help="For the method agreement, besides the bundle's own; repeat.",
    ),
    click.option("--contrast", type=click.Choice(get_args(Contrast)), help="Whether to contrast."),
    click.option("--regularizer", **_AUTO, help="Lambda of the contrast."),
    click.option("--geometry", type=click.Choice(get_args(Geometry)), help="Where the grid lies."),
    click.option(
        "--final-prompt", type=click.Choice(get_args(FinalPrompt)), help="The final pass."
    ),
    click.option("--max-new-tokens", type=int, help="Most forward steps of each pass."),
    click.option("--max-refined-pixels", type=int, help="Most pixels of the refined image."),
    click.option("--scout-pixels", type=int, help="Most pixels that the attention passes see."),
    click.option(
        "--final-pixels", type=int, help="Most pixels that the final pass sees of the crop."
    ),
    click.option(
        "--resize-refined",
        type=click.Choice(get_args(ResizeRefined)),
        help="How the crop is resized.",
    ),
    click.option("--early-exit", is_flag=True, default=None, help="Do without the plain answer."),
    click.option(
        "--adaptive", is_flag=True, default=None, help="Keep plain answers that are sure."
    ),
    click.option("--sure-probability", type=float, help="Least probability, for --adaptive."),
    click.option("--focused-entropy", type=float, help="Largest entropy, for --adaptive."),
)
_NAMES = ("variant", *SettingsChanges.__annotations__)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it receives them as ``settings``, keywords of ``Carve.ask``."""

    @wraps(command)
    def with_settings(*arguments: Any, **options: Any) -> Any:
        settings = {name: options.pop(name) for name in _NAMES}
        return command(*arguments, settings=settings, **options)

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings


def require_unused(**options: Any) -> None:
    """Raise :class:`click.UsageError` if one of the options was given along with ``--plain``."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        flag = given[0].replace("_", "-")
        raise click.UsageError(f"--{flag} says how CARVE works; it does nothing with --plain.")
