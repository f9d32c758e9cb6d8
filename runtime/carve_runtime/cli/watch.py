"""``carve-run watch``: questions about a stream, asked again where the picture changed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any

import click

from carve_models.cli import HELP, ErrorCommand
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.cli.options.given import STANDARD_INPUT, require_questions
from carve_runtime.cli.options.settings import MAX_IMAGE_PIXELS_OPTION, settings_options
from carve_runtime.images.ppm import read_ppm
from carve_runtime.video.video import Video
from carve_runtime.watch.watch import Frame
from carve_runtime.watch.watched import Watched, WatchSettings

_DEFAULTS = WatchSettings()


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run watch my-bundle clip.mp4 "Is the door open?"
  carve-run watch my-bundle frames "Is the door open?" "Who is there?" --fps 2 --json
  ffmpeg -i rtsp://... -r 5 -f image2pipe -c:v ppm - |
      carve-run watch my-bundle - "Is the door open?" --min-seconds 2
""",
)
@BUNDLE_ARGUMENT
@click.argument("source")
@click.argument("questions", nargs=-1, required=True, metavar="QUESTION...")
@click.option(
    "--min-change",
    type=float,
    default=_DEFAULTS.min_change,
    show_default=True,
    help="Least change of a frame that is asked about, in levels of 255.",
)
@click.option(
    "--min-seconds",
    type=float,
    default=_DEFAULTS.min_seconds,
    show_default=True,
    help="Least seconds between two frames that are asked about.",
)
@click.option("--fps", type=float, help="Frames a second of a folder of frames.")
@settings_options
@REVISION_OPTION
@backend_options
@MAX_IMAGE_PIXELS_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each line.")
@VERIFY_OPTION
def watch(
    bundle: str,
    source: str,
    questions: tuple[str, ...],
    min_change: float,
    min_seconds: float,
    fps: float | None,
    settings: dict[str, Any],
    revision: str | None,
    backend: BackendSettings,
    max_image_pixels: int,
    as_json: bool,
    verify: bool | None,
) -> None:
    """Ask each QUESTION about the frames of SOURCE, again whenever the picture changed.

    SOURCE is a clip, a folder of pictures with --fps, or "-" for PPM pictures on standard input, as
    FFmpeg sends those of a camera. A line is printed for each frame that is asked about.
    """
    require_questions(questions)
    watch_settings = WatchSettings(min_change=min_change, min_seconds=min_seconds)
    frames = _frames(source, fps, max_image_pixels)
    vlm = load_bundle(
        bundle_folder(bundle, revision),
        lambda opened: Carve(opened, backend, max_image_pixels=max_image_pixels),
        verify=verify,
    )
    with vlm.watch(frames, questions, watch_settings=watch_settings, **settings) as stream:
        for seen in stream:
            if seen.asked:
                click.echo(_json_line(seen, questions) if as_json else _line(seen))
                sys.stdout.flush()


def _frames(source: str, fps: float | None, max_image_pixels: int) -> Iterable[Frame]:
    """Return what was named.

    Raises:
        click.UsageError: standard input is a terminal, or closed, or has a rate.
    """
    if source != STANDARD_INPUT:
        # However long it is: each frame is seen, and one is held.
        return Video(source, fps, max_seconds=math.inf).frames(max_image_pixels)
    if fps is not None:
        raise click.UsageError("--fps is of a folder of frames; those in a pipe come when they do.")
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError(f"SOURCE is {source}, and nothing is piped in. Pipe PPM pictures.")
    return read_ppm(sys.stdin.buffer, max_image_pixels)


def _line(seen: Watched) -> str:
    return f"{seen.seconds:.2f} s  frame {seen.index}: {' | '.join(seen.answers)}"


def _json_line(seen: Watched, questions: tuple[str, ...]) -> str:
    fields = seen.to_dict()
    for question, result in zip(questions, fields["results"], strict=True):
        result["question"] = question
    return json.dumps(fields)
