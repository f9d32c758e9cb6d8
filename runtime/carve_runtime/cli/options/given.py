"""The pictures that ``carve-run ask`` is given, files or standard input; and its questions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from PIL import Image

from carve_models.errors import ImageError

#: As IMAGE: standard input.
STANDARD_INPUT = "-"
#: Most bytes that are read from it; a pipe may never end.
MOST_BYTES = 1 << 28


def _complete_file(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


IMAGE_ARGUMENT = click.argument("image", shell_complete=_complete_file)
INPUTS_ARGUMENT = click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=_complete_file
)


def given_picture(image: str) -> Path | bytes:
    """Return the path of a picture, or what standard input holds.

    Raises:
        ImageError: standard input is empty, or too long.
        click.UsageError: it is a terminal, or closed.
    """
    if image != STANDARD_INPUT:
        return Path(image)
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError(f"IMAGE is {STANDARD_INPUT}, and nothing is piped in. Pipe a file.")
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if not data:
        raise ImageError("standard input is empty", "pipe an image into it, or give a path")
    if len(data) > MOST_BYTES:
        raise ImageError(
            f"standard input holds more than {MOST_BYTES} bytes",
            "give the path of the image, or one that is smaller",
        )
    return data


def pictures_and_questions(
    image: str, rest: tuple[str, ...], asked: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which arguments are pictures, and the questions.

    Args:
        image: the first argument behind the bundle.
        rest: those behind it: questions, or with ``--question`` more pictures.
        asked: what ``--question`` was given.

    Raises:
        click.UsageError: no question, a question that is a picture, or a picture that is none.
    """
    if not asked:
        if not rest:
            raise click.MissingParameter(param_hint="'QUESTION...'", param_type="argument")
        require_questions(rest, " To ask about several pictures, give --question.")
        return (image,), rest
    require_questions(asked)
    images = (image, *rest)
    for given in images:
        if given != STANDARD_INPUT and not os.path.lexists(given):
            raise click.UsageError(
                f"There is no file {given!r}. With --question, every argument behind BUNDLE is a "
                "picture."
            )
    if images.count(STANDARD_INPUT) > 1:
        raise click.UsageError(f"{STANDARD_INPUT} is given twice; standard input is one picture.")
    return images, asked


def require_questions(questions: tuple[str, ...], hint: str = "") -> None:
    """Raise :class:`click.UsageError` if a question is the path of a picture."""
    for question in questions:
        if _is_picture(question):
            raise click.UsageError(
                f"The question {question!r} is a picture. The order is BUNDLE IMAGE QUESTION..., "
                f"and all questions are about one picture.{hint}"
            )


def _is_picture(text: str) -> bool:
    try:
        path = Path(text)
        return path.is_file() and path.suffix.lower() in Image.registered_extensions()
    except (OSError, ValueError):  # too long for a path, or a NUL in it
        return False
