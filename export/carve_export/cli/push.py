"""``carve-export push``: a bundle's folder to a repository of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from carve_export.cli.options import BUNDLE_ARGUMENT
from carve_export.hub.licence import stated_licence
from carve_export.hub.push import PushOptions, hub_name, push_bundle, require_login
from carve_models.cli import HELP, ErrorCommand
from carve_models.manifest import read_manifest
from carve_runtime.hub import HubName

_Command = TypeVar("_Command", bound=Callable[..., Any])


def push_options(command: _Command) -> _Command:
    """Give a command the options of what is pushed."""
    licence = click.option(
        "--licence",
        metavar="NAME",
        help="The checkpoint's licence by its name on the hub, such as apache-2.0; by default what "
        "the checkpoint's model card says.",
    )
    private = click.option(
        "--private/--public",
        default=None,
        help="Who sees a repository that is made; by default as its owner has set it on the hub.",
    )
    return licence(private(command))


@click.command(
    "push",
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-export push ./bundle someone/llava-carve --private
  carve-export push ./small someone/llava-carve/int8 --licence apache-2.0
  carve-export push ./bundle someone/llava-carve --revision fp16
""",
)
@BUNDLE_ARGUMENT
@click.argument("name", metavar="OWNER/NAME[/FOLDER]")
@push_options
@click.option("--revision", metavar="BRANCH", help="Push to this branch; it is made if missing.")
@click.option("--new-card", is_flag=True, help="Replace the model card that is already there.")
def push(
    bundle: Path,
    name: str,
    licence: str | None,
    private: bool | None,
    revision: str | None,
    new_card: bool,
) -> None:
    """Upload BUNDLE to a repository of the Hugging Face hub, with a model card.

    The repository is made if it is missing, and has the whole bundle after one commit. Log in with
    hf auth login first, or set HF_TOKEN.
    """
    place, source = hub_name(name), read_manifest(bundle).source
    require_login(place)
    options = PushOptions(
        licence=stated_licence(licence, source),
        private=private,
        revision=revision,
        new_card=new_card,
    )
    push_and_say(bundle, place, options)


def push_and_say(bundle: Path, place: HubName, options: PushOptions) -> None:
    """Push a bundle, and print where it is and how to use it."""
    click.echo(push_bundle(bundle, place, options))
    branch = f" --revision {options.revision}" if options.revision else ""
    click.echo(f'next: carve-run ask {place} IMAGE "QUESTION"{branch}')
