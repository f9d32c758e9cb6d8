"""How far a long command is, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

import click

_TITLE = "answered"
#: Seconds between two lines where there is no terminal.
_PAUSE = 30.0


class Progress:
    """Counts records while they are answered."""

    def __init__(self, total: int) -> None:
        """Begin.

        Args:
            total: records that this run answers.
        """
        self._total, self._done, self._failed = total, 0, 0
        self._start = self._shown = monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=self._total,
                label=_TITLE,
                file=sys.stderr,
                show_pos=True,
                show_eta=True,
                item_show_func=lambda _: self._rate(),
            )
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def advance(self, *, failed: bool) -> None:
        """Count one record."""
        self._done += 1
        self._failed += failed
        if self._bar is not None:
            self._bar.update(1)
        elif (now := monotonic()) - self._shown >= _PAUSE:
            self._shown = now
            left = (now - self._start) / self._done * (self._total - self._done)
            click.echo(
                f"{_TITLE} {self._done} of {self._total}, {self._rate()}, {left:.0f} s left",
                err=True,
            )

    def _rate(self) -> str:
        rate = self._done / max(monotonic() - self._start, sys.float_info.epsilon)
        errors = f", {self._failed} with an error" if self._failed else ""
        return f"{rate:.2f} a second{errors}"
