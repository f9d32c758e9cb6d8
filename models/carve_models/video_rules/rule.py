"""The part ``video`` of a manifest: everything that a clip needs beside an image."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from carve_models.image_rules import FixedImage, NativeImage, TiledImage
from carve_models.image_rules.rule import Area
from carve_models.prompts.segment import Segment
from carve_models.video_rules.sampling import Positive, Sampling


class ClipPixels(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of all frames together, height x width x frames.

    Attributes:
        fewest: pixels after resizing, at least.
        most: pixels after resizing, at most.
    """

    fewest: Area
    most: Area


class ClipMarkup(msgspec.Struct, frozen=True, kw_only=True):
    """What a prompt says of a clip; image 0 is what the encoder makes of one moment.

    Texts may have ``{frames}`` (their number in words) and ``{duration}`` (H:MM:SS) in ``begin``,
    and ``{seconds}`` (with one decimal), ``{clock}`` (MM:SS) and ``{number}`` (from 1) in
    ``moment``. A text is encoded together with the texts next to it, to either side up to the next
    ids or image.

    Attributes:
        begin: before the first moment.
        moment: for each moment.
        between: between two of them.
        end: behind the last one.
    """

    moment: tuple[Segment, ...]
    begin: tuple[Segment, ...] = ()
    between: tuple[Segment, ...] = ()
    end: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        _require_images("moment", self.moment, 1)
        for name in ("begin", "between", "end"):
            _require_images(name, getattr(self, name), 0)


class VideoRule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a clip.

    The vision encoder runs once for each moment: for one frame, or for as many as it packs in time.

    Attributes:
        sampling: which frames are seen.
        frames: what a frame becomes; its own limits of pixels, or those of ``clip_pixels``.
        clip_pixels: limits of the whole clip, in place of those of each frame.
        prompt: the prompt about a clip, with the clip as image 0 and ``{text}``.
        markup: what stands for the clip in it.
        positions_per_second: how far the time axis of M-RoPE moves in a second, where all moments
            are one block of the prompt; ``None`` where each is an image of its own.
    """

    sampling: Sampling
    frames: FixedImage | NativeImage | TiledImage
    prompt: tuple[Segment, ...]
    markup: ClipMarkup
    clip_pixels: ClipPixels | None = None
    positions_per_second: Positive | None = None

    def __post_init__(self) -> None:
        _require_images("prompt", self.prompt, 1)
        if sum("{text}" in (segment.text or "") for segment in self.prompt) != 1:
            raise ValueError("the prompt about a clip needs {text} once")

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Every segment that a prompt about a clip may have."""
        markup = self.markup
        return (*self.prompt, *markup.begin, *markup.moment, *markup.between, *markup.end)


def _require_images(name: str, segments: Sequence[Segment], images: int) -> None:
    shown = [segment.image for segment in segments if segment.image is not None]
    if shown != [0] * images:
        raise ValueError(f"{name} of a clip has the images {shown}, expected {images}")
