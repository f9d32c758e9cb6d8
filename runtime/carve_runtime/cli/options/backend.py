"""The options of every command that runs a bundle: which one, and who runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from carve_runtime.backends.protocol import BackendName, BackendSettings, ProviderName
from carve_runtime.hub import DEFAULT, locate_bundle

REVISION_OPTION = click.option(
    "--revision", help="Branch, tag or commit, where BUNDLE is a repository of the hub."
)


def _complete_bundle(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer folders, and the default bundle."""
    named = [CompletionItem(DEFAULT)] if DEFAULT.startswith(incomplete) else []
    return [*named, CompletionItem(incomplete, type="dir")]


BUNDLE_ARGUMENT = click.argument("bundle", shell_complete=_complete_bundle)

VERIFY_OPTION = click.option(
    "--verify/--no-verify",
    default=None,
    help="Compare the files' SHA-256 sums at this run, or their sizes alone; by default each "
    "file's sum is compared once, and again when the file has changed.",
)

_OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(get_args(BackendName)),
        default="ort",
        show_default=True,
        help="What runs the graphs.",
    ),
    click.option(
        "--provider",
        type=click.Choice(get_args(ProviderName)),
        help="ONNX Runtime's execution provider; cpu if none is named.",
    ),
    click.option("--device", help='Of the backend or provider: a number, or OpenVINO\'s "GPU".'),
    click.option("--threads", type=int, help="Threads of one graph run."),
    click.option(
        "--engines",
        type=click.Path(path_type=Path),
        help="Folder of carve-export engine, with --backend tensorrt.",
    ),
    click.option(
        "--cuda-graph/--no-cuda-graph",
        default=True,
        show_default=True,
        help="Record the step of one token and replay it, with --provider cuda.",
    ),
)


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it receives them as ``backend``, a :class:`BackendSettings`."""

    @wraps(command)
    def with_backend(*arguments: Any, **options: Any) -> Any:
        known = [field.name for field in fields(BackendSettings) if field.name in options]
        backend = BackendSettings(**{name: options.pop(name) for name in known})
        return command(*arguments, backend=backend, **options)

    for option in reversed(_OPTIONS):
        with_backend = option(with_backend)
    return with_backend


def bundle_folder(bundle: str, revision: str | None = None) -> Path | None:
    """Return the folder that BUNDLE names, fetched if it is on the hub; ``None`` is the default."""
    return locate_bundle(bundle, revision=revision)
