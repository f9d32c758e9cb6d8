"""``carve-run ask``: questions about an image, answered plainly and through CARVE."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from carve_models.cli import HELP, ErrorCommand
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.cli.answers import AnswerPrinter, report
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.cli.options.given import IMAGE_ARGUMENT, given_picture, pictures_and_questions
from carve_runtime.cli.options.saving import require_writable, save
from carve_runtime.cli.options.settings import (
    MAX_IMAGE_PIXELS_OPTION,
    PLAIN_OPTION,
    require_unused,
    settings_options,
)
from carve_runtime.cli.options.video import given_clip, video_options
from carve_runtime.result import PlainResult
from carve_runtime.video.over_time.interval import ClipSettings
from carve_runtime.video.video import Video

#: A photograph cannot be told from the scenes by its pixels, so it is said of every picture.
_DEFAULT_KNOWS = (
    "note   the default bundle knows drawn scenes of coloured shapes alone: what it says of a "
    "photograph means nothing"
)


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run ask default photo.jpg "What letter is on the red square?"
  carve-run ask my-bundle photo.jpg "What does the sign say?" --save-dir out
  carve-run ask my-bundle photo.jpg "Is there a dog?" "Is there a cat?"
  carve-run ask my-bundle photo.jpg "Is there a dog?" --variant v1 --mask-top-p 0.4 --json
  carve-run ask my-bundle a.jpg b.jpg --question "Which one shows a dog?" --picture rows.png
  carve-run ask my-bundle clip.mp4 "What does the sign say?" --video --picture strip.png
""",
)
@BUNDLE_ARGUMENT
@IMAGE_ARGUMENT
@click.argument("rest", nargs=-1, metavar="QUESTION...")
@click.option(
    "--question",
    "-q",
    "asked",
    multiple=True,
    metavar="TEXT",
    help="A question about all the pictures in one prompt: every argument behind BUNDLE is one. "
    "May be repeated.",
)
@settings_options
@video_options
@REVISION_OPTION
@backend_options
@MAX_IMAGE_PIXELS_OPTION
@PLAIN_OPTION
@click.option("--picture", type=click.Path(path_type=Path), help="Write the overview picture here.")
@click.option("--save-dir", type=click.Path(path_type=Path), help="Write every picture here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@VERIFY_OPTION
def ask(
    bundle: str,
    image: str,
    rest: tuple[str, ...],
    asked: tuple[str, ...],
    settings: dict[str, Any],
    clip: dict[str, Any] | None,
    revision: str | None,
    backend: BackendSettings,
    max_image_pixels: int,
    plain: bool,
    picture: Path | None,
    save_dir: Path | None,
    as_json: bool,
    verify: bool | None,
) -> None:
    """Answer each QUESTION about IMAGE with BUNDLE, plainly and through CARVE.

    BUNDLE is a folder that carve-export wrote, a repository of the Hugging Face hub as owner/name,
    or "default" for the one that ships with the package. IMAGE is a file, or "-" for standard
    input. What depends on the image alone is computed once for all questions. Settings that are
    not given come from the bundle.

    With --question there may be several: BUNDLE IMAGE IMAGE... --question TEXT. With --video, IMAGE
    is a clip.
    """
    images, questions = pictures_and_questions(image, rest, asked)
    if plain:
        require_unused(picture=picture, save_dir=save_dir, **settings | {"max_new_tokens": None})
    _require_one(questions, picture=picture, save_dir=save_dir)
    require_writable(picture, save_dir)
    video = None if clip is None else given_clip(images, clip)
    sources = [] if video else [given_picture(each) for each in images]
    folder = bundle_folder(bundle, revision)
    vlm = load_bundle(
        folder,
        lambda opened: Carve(opened, backend, max_image_pixels=max_image_pixels),
        verify=verify,
    )
    asking, answering = _asked_about(vlm, sources, video)
    reports = []
    for question in questions:
        if len(questions) > 1 and not as_json:
            click.echo(question)
        with AnswerPrinter(quiet=as_json) as show:
            if plain:
                limit = settings["max_new_tokens"]
                answer = answering(question, max_new_tokens=limit, on_token=show)
                fields = answer.to_dict() | {"saved": []}
            else:
                result = asking(question, on_token=show, **settings)
                fields = result.to_dict()
                fields["saved"] = save(result, question, picture, save_dir)
        if not as_json:
            report(fields)
        reports.append(fields)
    if folder is None and not as_json:
        click.echo(_DEFAULT_KNOWS, err=True)
    if as_json:
        click.echo(json.dumps(reports if len(questions) > 1 else reports[0], indent=2))


def _asked_about(
    vlm: Carve, sources: list[Any], video: tuple[Video, ClipSettings] | None
) -> tuple[Callable[..., Any], Callable[..., PlainResult]]:
    """Return what asks through CARVE, and plainly, about pictures or a clip."""
    if video is None:
        source = sources if len(sources) > 1 else sources[0]
        return partial(vlm.ask, source), partial(vlm.plain, source)
    clip, settings = video
    session = vlm.open_video(clip)
    return partial(session.ask, clip_settings=settings), session.plain


def _require_one(questions: tuple[str, ...], **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given and len(questions) > 1:
        flag = given[0].replace("_", "-")
        raise click.UsageError(f"--{flag} shows one question; {len(questions)} were given.")
