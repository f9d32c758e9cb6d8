"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from carve_export.check import MARGINS

_Command = TypeVar("_Command", bound=Callable[..., Any])

BUNDLE_ARGUMENT = click.argument("bundle", type=click.Path(path_type=Path))
OUT_ARGUMENT = click.argument("out", type=click.Path(path_type=Path))
FAMILY_OPTION = click.option(
    "--family",
    metavar="FILE.py:NAME",
    help="Declaration of a family that this package does not know (docs/families.md).",
)
MARGIN_OPTION = click.option(
    "--margin",
    type=click.FloatRange(min=0),
    help="How many times as far from float64 as PyTorch's own results the bundle's may be.  "
    f"[default: {MARGINS['float32']:g}, in half precision {MARGINS['float16']:g}]",
)


def choice_option(
    flag: str, choices: object, help_text: str, default: str | None = None
) -> Callable[[_Command], _Command]:
    """Return an option with a few values, required if it has no default.

    Args:
        flag: its name on the command line.
        choices: a ``Literal`` type.
        help_text: what ``--help`` says of it.
        default: its value where it is not given.
    """
    return click.option(
        flag,
        type=click.Choice(get_args(choices)),
        default=default,
        show_default=True,
        required=default is None,
        help=help_text,
    )


def file_option(
    flag: str, help_text: str, *, required: bool = False
) -> Callable[[_Command], _Command]:
    """Return an option that names a file to read."""
    return click.option(
        flag,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=required,
        help=help_text,
    )


def overwrite_option(replaced: str) -> Callable[[_Command], _Command]:
    """Return the option that allows replacing what is already at the place of the result."""
    return click.option(
        "--overwrite",
        is_flag=True,
        help=f"Replace {replaced} already there; other files in the folder stay.",
    )


def precision_options(*, required: bool) -> Callable[[_Command], _Command]:
    """Return the options that choose lower precision and the questions to measure it with."""
    precision = click.option(
        "--precision",
        "precisions",
        multiple=True,
        required=required,
        metavar="[COMPONENT=]PRECISION",
        help="fp16, bf16, int8, int8-static, int4, int4-only, int4-nearest or int8-nearest, for "
        "all or for vision_encoder, embed_tokens, decoder, lm_head.",
    )
    calibration = file_option(
        "--calibration",
        'JSON list of {"image": "photo.jpg", "question": "..."}, images beside it: both '
        "precisions are asked, and compared.",
    )
    return lambda command: precision(calibration(command))
