"""Frames to what the vision encoder takes: one run for each moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage
from carve_models.video_rules.rule import ClipPixels, VideoRule
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.native import preprocess_packed, smart_resize
from carve_runtime.images.picture import Pixels
from carve_runtime.images.preprocess import preprocess
from carve_runtime.method.geometry import RGB


@dataclass(frozen=True)
class Moment:
    """Frames that the encoder sees together.

    Attributes:
        frames: their indices in the clip; the last one stands for those that are missing.
        seconds: from the start of the clip, the middle of the first and the last of them.
    """

    frames: tuple[int, ...]
    seconds: float


def moments_of(indices: Sequence[int], fps: float, together: int) -> list[Moment]:
    """Return the moments of the frames that are seen, ``together`` of them in each."""
    groups = [tuple(indices[at : at + together]) for at in range(0, len(indices), together)]
    moments = []
    for group in groups:
        last = group[-1]
        moments.append(Moment(group, (group[0] / fps + last / fps) / 2))
    return moments


def preprocess_moment(frames: Sequence[RGB], rule: VideoRule, count: int) -> ModelInput:
    """Follow Hugging Face's video processors for one moment, with Pillow's filters.

    Args:
        frames: (H, W, 3) uint8, of one moment.
        rule: the bundle's.
        count: how many frames of the clip are seen.
    """
    return _MOMENTS[type(rule.frames)](frames, rule, count)


def _single(frames: Sequence[RGB], rule: VideoRule, count: int) -> ModelInput:
    del count
    return preprocess(frames[0], rule.frames)


def _packed(frames: Sequence[RGB], rule: VideoRule, count: int) -> ModelInput:
    assert isinstance(rule.frames, NativeImage)
    limits = rule.clip_pixels
    resized = smart_resize if limits is None else partial(resize_clip, count=count, limits=limits)
    return preprocess_packed([Pixels(frame) for frame in frames], rule.frames, resized)


def resize_clip(
    height: int, width: int, rule: NativeImage, *, count: int, limits: ClipPixels
) -> tuple[int, int]:
    """Return the (height, width) of each frame (``smart_resize`` of ``Qwen3VLVideoProcessor``).

    A clip of fewer frames than one moment takes counts as a whole moment: it is filled up.
    """
    unit, together = rule.token_size, rule.temporal_patch_size
    count = max(count, together)
    if min(height, width) < unit:
        grow = max(unit / height, unit / width)
        height, width = int(height * grow), int(width * grow)
    high, wide = round(height / unit) * unit, round(width / unit) * unit
    packed = round(count / together) * together
    if packed * high * wide > limits.most:
        shrink = math.sqrt(count * height * width / limits.most)
        high = max(unit, math.floor(height / shrink / unit) * unit)
        wide = max(unit, math.floor(width / shrink / unit) * unit)
    elif packed * high * wide < limits.fewest:
        grow = math.sqrt(limits.fewest / (count * height * width))
        high = math.ceil(height * grow / unit) * unit
        wide = math.ceil(width * grow / unit) * unit
    return high, wide


_MOMENTS: dict[type[ImageRule], Callable[[Sequence[RGB], Any, int], ModelInput]] = {
    FixedImage: _single,
    TiledImage: _single,
    NativeImage: _packed,
}
