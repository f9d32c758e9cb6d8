"""What the command lines share: errors become one line and an exit code."""

from __future__ import annotations

from typing import Any

import click

from carve_models.errors import CarveError, SettingsError


class ErrorGroup(click.Group):
    """Ends a failed command with its cause and remedy: exit code 2 for wrong use, 1 otherwise."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; translate the project's errors into click's."""
        try:
            return super().invoke(ctx)
        except (CarveError, OSError) as error:
            raise as_click_error(error) from error


def as_click_error(error: Exception) -> click.ClickException:
    """Return the click exception with the right exit code for an error."""
    if isinstance(error, SettingsError):
        return click.UsageError(str(error))
    return click.ClickException(str(error))


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
            layers.extend(range(int(first), int(last or first) + 1))
    except ValueError:
        raise click.BadParameter(f'{value!r} is not a list such as "20-25" or "3,5".') from None
    if not layers:
        raise click.BadParameter(f"{value!r} names no layer.")
    return tuple(layers)
