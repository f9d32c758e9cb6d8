"""``carve-export prompt``: questions in, a file with their token ids out."""

from __future__ import annotations

from pathlib import Path

import click

from carve_export.cli.options import BUNDLE_ARGUMENT
from carve_export.questions import write_questions
from carve_models.cli import HELP, ErrorCommand


@click.command("prompt", cls=ErrorCommand, context_settings=HELP)
@BUNDLE_ARGUMENT
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("questions", nargs=-1, required=True)
def prompt(bundle: Path, out: Path, questions: tuple[str, ...]) -> None:
    """Encode QUESTIONS for the bundle BUNDLE into the JSON file OUT.

    Programs that cannot run the bundle's tokenizer ask them from that file.
    """
    count = write_questions(bundle, questions, out)
    click.echo(f"{out}: {count} texts, the general instruction's included")
