"""What the command lines share: errors become one line and an exit code."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import click

from carve_models.errors import CarveError, SettingsError
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import ALL, MOST_LAYERS, All

#: ``context_settings`` of every command.
HELP = {"help_option_names": ["-h", "--help"]}


#: The packages whose loggers ``-v`` lets speak.
_LOGGERS = ("carve_models", "carve_runtime", "carve_export")


def _log_to_stderr(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print what the packages log until the command ends; a click callback."""
    if not value:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        context.call_on_close(partial(logger.removeHandler, handler))


class ErrorCommand(click.Command):
    """A command with ``-v`` that says why it failed.

    It ends with cause and remedy: exit code 2 for wrong use, 1 otherwise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ("-v", "--verbose"),
                is_flag=True,
                expose_value=False,
                callback=_log_to_stderr,
                help="Say on standard error what is loaded and fetched, and how long it takes.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; translate the project's errors into click's."""
        try:
            with refusing_memory_errors("give a smaller image or model, or free memory"):
                return super().invoke(ctx)
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        except CarveError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise  # click ends quietly: the reader has seen enough
        except OSError as error:
            cause = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
            raise click.ClickException(f"{cause}. Check the path and the free space.") from error


class DefaultCommand(ErrorCommand):
    """A command that is meant where none of its subcommands is named first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subcommands: dict[str, click.Command] = {}

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Let a subcommand read its arguments."""
        if args and args[0] in self.subcommands:
            chosen = self.subcommands[args[0]]
            return chosen.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand that read the arguments, or this command."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


class ErrorGroup(click.Group):
    """A group whose commands are :class:`ErrorCommand`."""

    command_class = ErrorCommand


def parse_layers_or_all(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | All | None:
    """As :func:`parse_layers`, or the word "all"; a click callback."""
    return ALL if value == ALL else parse_layers(context, parameter, value)


def parse_layers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Turn ``"20-25"`` or ``"3,5"`` into layer numbers; a click callback."""
    if value is None:
        return None
    layers: list[int] = []
    try:
        for part in value.split(","):
            first, _, last = part.strip().partition("-")
            if int(last or first) >= MOST_LAYERS:
                raise click.BadParameter(f"{value!r} names a layer beyond {MOST_LAYERS - 1}.")
            layers.extend(range(int(first), int(last or first) + 1))
    except ValueError:
        raise click.BadParameter(f'{value!r} is not a list such as "20-25" or "3,5".') from None
    if not layers:
        raise click.BadParameter(f"{value!r} names no layer.")
    return tuple(layers)
