"""``carve-run batch``: many questions about many pictures, into a file of answers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any, BinaryIO, cast

import click

from carve_models.cli import HELP, ErrorCommand
from carve_models.errors import RecordError
from carve_models.settings import SettingsChanges
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.batch import (
    WORKERS,
    AnswerOptions,
    AnswersFile,
    Inputs,
    Record,
    answer_all,
    describe_run,
    open_answers,
    share_of_cores,
)
from carve_runtime.batch.record import ERROR
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.cli.options.given import INPUTS_ARGUMENT, STANDARD_INPUT
from carve_runtime.cli.options.saving import require_writable
from carve_runtime.cli.options.settings import (
    MAX_IMAGE_PIXELS_OPTION,
    PLAIN_OPTION,
    require_unused,
    settings_options,
)
from carve_runtime.cli.progress import Progress

#: As shells say of a program that Ctrl-C has ended.
_INTERRUPTED = 130
#: As the system numbers it.
_STANDARD_ERROR = 2
_LAST = b"\nThe questions in work are the last. Once more drops them.\n"


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run batch default photos -q "Is there a red star?" -o answers.jsonl
  carve-run batch my-bundle questions.csv -o answers.jsonl --save-dir pictures
  carve-run batch my-bundle "photos/**/*.jpg" -q "Is there a dog?" -q "Is it asleep?" -o a.jsonl
  find photos -newer mark | carve-run batch my-bundle - -q "Is there a dog?" -o new.jsonl
""",
)
@BUNDLE_ARGUMENT
@INPUTS_ARGUMENT
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Write the answers here, as JSON Lines; if some are here, answer the rest.",
)
@click.option(
    "-q",
    "--question",
    "questions",
    multiple=True,
    help="Ask this about every picture that comes without a question; may be repeated.",
)
@click.option(
    "--workers",
    type=int,
    default=WORKERS,
    show_default=True,
    help="Pictures in work at once; they share the cores unless --threads is given.",
)
@click.option(
    "--save-dir",
    type=click.Path(path_type=Path),
    help="Write the pictures of each record here, in a folder of its own.",
)
@settings_options
@backend_options
@MAX_IMAGE_PIXELS_OPTION
@PLAIN_OPTION
@REVISION_OPTION
@VERIFY_OPTION
def batch(
    bundle: str,
    inputs: tuple[str, ...],
    output: Path,
    questions: tuple[str, ...],
    workers: int,
    save_dir: Path | None,
    settings: dict[str, Any],
    backend: BackendSettings,
    max_image_pixels: int,
    plain: bool,
    verify: bool | None,
    revision: str | None,
) -> None:
    """Answer questions about many pictures with BUNDLE, one line of JSON for each.

    BUNDLE is a folder that carve-export wrote, or "default" for the one that ships with the
    package. INPUT is a folder with pictures, a picture, a pattern of files, a file of records
    (.jsonl or .csv, with "image", as a rule "question", and columns of your own), or "-" for
    standard input: JSON Lines, or a path on each line.

    A picture that cannot be read is a line with "error"; the exit code is then 1. The same command
    goes on where it was stopped.
    """
    if plain:
        require_unused(save_dir=save_dir, **settings | {"max_new_tokens": None})
    require_writable(None, save_dir)
    if str(output) == STANDARD_INPUT:
        raise click.BadParameter(
            "answers go to a file, so that the same command can go on.", param_hint="-o"
        )
    variant = settings.pop("variant")
    options = AnswerOptions(plain=plain, variant=variant, settings=cast(SettingsChanges, settings))
    records = Inputs(map(_opened, inputs), questions)
    records.require_apart(output)
    if save_dir is not None:
        records.require_outside(save_dir)
    _count(records)  # every line is checked before the model is loaded
    share = share_of_cores(workers)
    if backend.threads is None:
        backend = replace(backend, threads=share)
    vlm = load_bundle(
        bundle_folder(bundle, revision),
        lambda opened: Carve(opened, backend, max_image_pixels=max_image_pixels),
        verify=verify,
    )
    made_with = describe_run(vlm, options) | {"max_image_pixels": max_image_pixels}
    with open_answers(output, made_with) as answers, _stopping() as stop:
        left = _count(answers.missing(records))
        found = answer_all(
            vlm,
            answers.missing(records),
            options,
            workers=workers,
            save_dir=save_dir,
            stop=stop,
        )
        with closing(found), Progress(left) as progress:
            for answer in found:
                answers.write(answer)
                progress.advance(failed=answer[ERROR] is not None)
                left -= 1
    _conclude(answers, output, left)


def _opened(given: str) -> str | BinaryIO:
    """Return an input, standard input as a stream."""
    if given != STANDARD_INPUT:
        return given
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError(f"INPUT is {STANDARD_INPUT}, and nothing is piped in. Pipe a list.")
    return sys.stdin.buffer


@contextmanager
def _stopping() -> Iterator[Event]:
    """Yield what Ctrl-C sets, or a system that shuts down; a second time ends the process."""
    stop = Event()

    def ask_to_stop(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)
        with suppress(OSError):  # what click writes may be half written now
            os.write(_STANDARD_ERROR, _LAST)

    before = {each: signal.signal(each, ask_to_stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(records: Iterable[Record]) -> int:
    return sum(1 for _ in records)


def _conclude(answers: AnswersFile, output: Path, left: int) -> None:
    """Say what there is now; exit with a code that says whether all have an answer.

    Args:
        answers: the file's counts.
        output: the file.
        left: records that were not asked, as the command was stopped.
    """
    click.echo(f"{output}: {answers.answered} records, {answers.failed} with an error")
    if left:
        click.echo(f"Stopped. The same command answers the other {left}.", err=True)
        sys.exit(_INTERRUPTED)
    if answers.failed:
        raise RecordError(
            f"{answers.failed} of {answers.answered} records have no answer",
            f'see "error" in {output}; lines that are removed there are answered again',
        )
