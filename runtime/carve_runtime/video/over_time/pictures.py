"""The strip of a question about a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from carve_runtime.method.geometry import RGB, Box, Window
from carve_runtime.method.locate import View
from carve_runtime.method.placement import place
from carve_runtime.pictures import draw_panels, heat_over, limits_of
from carve_runtime.video.clip import Seen
from carve_runtime.video.excerpt import Excerpt
from carve_runtime.video.over_time.interval import Interval, edges_between

#: Most moments above, and most frames of the refined clip below.
_MOST, _MOST_REFINED = 6, 4
#: Width and height of the bars, and the height of what is written under them, in pixels.
_WIDTH, _HEIGHT, _LABELS = 720, 360, 32
_FONT_SIZE, _LINE = 22, 3
_INK, _PAPER, _BOX = (32, 32, 32), (255, 255, 255), (255, 48, 48)
_INSIDE, _OUTSIDE, _BAND = (221, 81, 58), (170, 170, 170), (255, 232, 214)


class Strip(Protocol):
    """What the strip shows of a :class:`carve_runtime.VideoResult`."""

    @property
    def answer(self) -> str:
        """Through CARVE."""

    @property
    def plain_answer(self) -> str | None:
        """Without."""

    @property
    def interval(self) -> Interval:
        """When."""

    @property
    def box(self) -> Box | None:
        """Where."""

    @property
    def mass(self) -> NDArray[np.float64]:
        """(moments,)."""

    @property
    def saliency(self) -> NDArray[np.float64]:
        """(moments, rows, columns)."""

    @property
    def window(self) -> Window:
        """The part of a frame that the grid covers."""

    @property
    def seen(self) -> Seen:
        """The whole clip."""

    @property
    def refined(self) -> Excerpt:
        """The refined one."""


def draw_strip(result: Strip, question: str = "") -> Image.Image:
    """Return moments with heat above; mass over time and frames of the refined clip below."""
    moments = _some(range(len(result.mass)), _MOST)
    refined, answers = result.refined, f"plain: {result.plain_answer}, CARVE: {result.answer}"
    shown = tuple(_some(refined.indices, _MOST_REFINED))
    closer = replace(refined, indices=shown)
    below = [("share of the saliency over time", _bars(result))] + [
        (f"refined, {index / result.seen.fps:.2f} s", pixels)
        for index, pixels in zip(shown, closer.pictures(), strict=True)
    ]
    above = list(_moments(result, moments))
    return draw_panels([above, below], f"{question}  {answers}" if question else answers)


def _some(places: Sequence[int], most: int) -> list[int]:
    """Return all places, or as many, evenly spread with the first and the last."""
    if len(places) <= most:
        return list(places)
    return [places[int(at)] for at in np.linspace(0, len(places) - 1, most).round()]


def _moments(result: Strip, moments: Sequence[int]) -> Iterator[tuple[str, RGB]]:
    """Yield the first frame of each moment with heat, on one scale of colours, and a title."""
    seen, limits = result.seen, limits_of(result.saliency)
    first, stop = result.interval.moments
    frames = tuple(seen.moments[moment].frames[0] for moment in moments)
    whole = replace(result.refined, indices=frames, box=None)
    view = View(result.saliency.shape[1:], seen.size, result.window)
    view = view.shrunk(_HEIGHT / seen.size[1])
    for moment, pixels in zip(moments, whole.pictures(), strict=True):
        small = np.asarray(Image.fromarray(pixels).resize(view.image_size))
        heat = place(result.saliency[moment], view.image_size, view.window)
        picture = heat_over(small, heat.astype(np.float64), limits)
        inside = first <= moment < stop
        if inside and result.box is not None:
            picture = _boxed(picture, result.box, seen.size)
        name = f"{seen.moments[moment].seconds:.2f} s: {result.mass[moment]:.0%}"
        yield f"{name}, kept" if inside else name, picture


def _boxed(picture: RGB, box: Box, size: tuple[int, int]) -> RGB:
    """Return a picture of frames of (width, height) with a box of theirs drawn into it."""
    height, width = picture.shape[:2]
    per_x, per_y = width / size[0], height / size[1]
    drawn = Image.fromarray(picture)
    corners = box[0] * per_x, box[1] * per_y, box[2] * per_x - 1, box[3] * per_y - 1
    ImageDraw.Draw(drawn).rectangle(corners, outline=_BOX, width=_LINE)
    return np.asarray(drawn)


def _bars(result: Strip) -> RGB:
    """Return a bar for each moment, as long as it lasts; those of the interval in colour."""
    seen, interval = result.seen, result.interval
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    per_frame, floor = _WIDTH / seen.count, _HEIGHT - _LABELS
    edges = [edge * per_frame for edge in edges_between(seen.moments, seen.count)]
    start, stop = (frame * per_frame for frame in interval.frames)
    draw.rectangle((start, 0, stop, floor), fill=_BAND)
    for moment, (left, right) in enumerate(pairwise(edges)):
        inside = interval.moments[0] <= moment < interval.moments[1]
        top = floor - (floor - _LINE) * result.mass[moment] / result.mass.max()
        right = max(right - 1, left)
        draw.rectangle((left, top, right, floor), fill=_INSIDE if inside else _OUTSIDE)
    text = f"{interval.seconds[0]:.2f} - {interval.seconds[1]:.2f} s of {seen.seconds:.2f} s"
    left = min(max(start, 0), _WIDTH - font.getlength(text))
    draw.text((left, floor + _LINE), text, fill=_INK, font=font)
    return np.asarray(picture)
