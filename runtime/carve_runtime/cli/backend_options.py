"""The options of every command that runs a bundle: who runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from carve_runtime.backends.protocol import BackendName, BackendSettings, ProviderName

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
)


def session_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it receives them as ``session``, a :class:`BackendSettings`."""

    @wraps(command)
    def with_session(*arguments: Any, **options: Any) -> Any:
        known = [field.name for field in fields(BackendSettings) if field.name in options]
        session = BackendSettings(**{name: options.pop(name) for name in known})
        return command(*arguments, session=session, **options)

    for option in reversed(_OPTIONS):
        with_session = option(with_session)
    return with_session
