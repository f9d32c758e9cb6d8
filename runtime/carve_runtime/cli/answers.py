"""What ``carve-run ask`` prints: answers while they are generated, and what follows them."""

from __future__ import annotations

import sys
from typing import Any

import click

from carve_runtime.prompt.request import Token

_TITLES = {"question": "plain  ", "final": "CARVE  "}


class AnswerPrinter:
    """Prints each answer behind its name while it is generated."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage = ""

    def __enter__(self) -> AnswerPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def __call__(self, token: Token) -> None:
        """Print a piece of text."""
        if self._quiet or token.stage not in _TITLES:
            return
        if token.stage != self._stage:
            self._end_line()
            self._stage = token.stage
            click.echo(_TITLES[token.stage], nl=False)
        click.echo(token.text, nl=False)
        sys.stdout.flush()

    def _end_line(self) -> None:
        if self._stage:
            click.echo()


def _box(fields: dict[str, Any]) -> str:
    limits = ", limited by --max-refined-pixels or --final-pixels"
    limited = limits if fields["refined_limited"] else ""
    width, height = fields["refined_size"]
    return f"{fields['bbox']} scaled to {width} x {height}{limited}"


def report(fields: dict[str, Any]) -> None:
    """Print what follows the answers."""
    if fields.get("skipped"):
        click.echo(f"CARVE  skipped: {fields['skipped']}")
    elif "interval" in fields:
        start, stop = fields["interval"]["seconds"]
        frames = len(fields["refined_frames"])
        click.echo(f"when   {start:.2f} - {stop:.2f} s, {frames} frames, box {fields['bbox']}")
    elif "bbox" in fields:
        click.echo(f"box    {_box(fields)}")
    for number, part in enumerate(fields.get("images", []), start=1):
        found = _box(part) if part["kept"] else "nothing kept"
        click.echo(f"image  {number}: {found}")
    click.echo(f"time   {fields['timings']['total']:.2f} s")
    for path in fields["saved"]:
        click.echo(f"saved  {path}")
