"""The options of ``carve-run ask`` about a clip."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from carve_runtime.cli.options.given import STANDARD_INPUT
from carve_runtime.video.over_time.interval import ClipSettings
from carve_runtime.video.video import Video

_OPTIONS = (
    click.option("--video", is_flag=True, help="IMAGE is a clip: a file, or a folder of frames."),
    click.option("--fps", type=float, help="Frames a second of a folder of frames."),
    click.option("--mass-share", type=float, help="Share of the saliency over time kept."),
    click.option("--min-seconds", type=float, help="Least seconds of a clip kept."),
    click.option("--refined-frames", type=int, help="Most frames of the refined clip."),
)
_SETTINGS = ("mass_share", "min_seconds", "refined_frames")
_NAMES = ("video", "fps", *_SETTINGS)


def video_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it receives them as ``clip``, ``None`` without ``--video``."""

    @wraps(command)
    def with_clip(*arguments: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in _NAMES}
        video = given.pop("video")
        if not video:
            _refuse(given, "speaks of a clip. Add --video.")
        elif options["plain"]:
            _refuse({name: given[name] for name in _SETTINGS}, "does nothing with --plain.")
        return command(*arguments, clip=given if video else None, **options)

    for option in reversed(_OPTIONS):
        with_clip = option(with_clip)
    return with_clip


def given_clip(images: tuple[str, ...], clip: dict[str, Any]) -> tuple[Video, ClipSettings]:
    """Return the clip and its settings.

    Raises:
        click.UsageError: several were given, or standard input.
        SettingsError: a value out of range.
    """
    if len(images) != 1 or images[0] == STANDARD_INPUT:
        raise click.UsageError("With --video, IMAGE is the path of one clip.")
    changes = {name: clip[name] for name in _SETTINGS if clip[name] is not None}
    return Video(images[0], clip["fps"]), ClipSettings(**changes)


def _refuse(options: dict[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")
