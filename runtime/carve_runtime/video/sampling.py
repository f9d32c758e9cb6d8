"""Which frames of a clip are seen: ``sample_frames`` of Hugging Face's video processors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from carve_models.video_rules.sampling import (
    BaseSampling,
    CentredSampling,
    SpreadSampling,
    SteppedSampling,
    TrimmedSampling,
)


def sampled(count: int, fps: float, rule: BaseSampling) -> list[int]:
    """Return the indices of the frames that are seen, ascending.

    Where Hugging Face's processors fail, because a clip has fewer frames than they need, all of its
    frames are seen.

    Args:
        count: frames of the clip.
        fps: frames a second of the clip.
        rule: the bundle's.
    """
    return [index for index in _SAMPLERS[type(rule)](count, fps, rule) if index < count]


def _stepped(count: int, fps: float, rule: SteppedSampling) -> list[int]:
    most = min(rule.max_frames, count) // rule.multiple * rule.multiple
    wanted = min(max(count / fps * rule.fps, rule.min_frames), most)
    chosen = math.floor(wanted / rule.multiple) * rule.multiple
    if not chosen:  # too few for a multiple: the last one stands for those that are missing
        return list(range(min(count, rule.multiple, rule.max_frames)))
    return _steps(0.0, count, count / chosen)


def _spread(count: int, fps: float, rule: SpreadSampling) -> list[int]:
    wanted = int(count / fps * rule.fps)
    chosen = min(max(wanted, rule.min_frames), rule.max_frames, count)
    return list(map(int, np.linspace(0, count - 1, chosen).round()))


def _trimmed(count: int, fps: float, rule: TrimmedSampling) -> list[int]:
    seconds, skip = count / fps, rule.skip_seconds
    chosen = max(min(round(rule.fps * seconds), rule.max_frames), 1)
    first, last = 0, count - 1
    if skip > 0 and seconds - 2 * skip > rule.max_frames * rule.fps:
        first, last = int(skip * fps), min(int(count - skip * fps), count - 1)
        if first >= last:
            first, last = 0, count - 1
    return list(map(int, np.unique(np.linspace(first, last, chosen, dtype=int))))


def _centred(count: int, fps: float, rule: CentredSampling) -> list[int]:
    del fps
    step = count / min(rule.max_frames, count)
    return _steps(step / 2, count, step)


def _steps(start: float, stop: float, step: float) -> list[int]:
    """Return whole numbers of ``torch.arange(start, stop, step).int()``, which counts in float32.

    The number of steps is rounded up in float64 there.
    """
    count = math.ceil((stop - start) / step)
    return list(map(int, (start + np.arange(count) * step).astype(np.float32)))


_SAMPLERS: dict[type[BaseSampling], Callable[[int, float, Any], list[int]]] = {
    SteppedSampling: _stepped,
    SpreadSampling: _spread,
    TrimmedSampling: _trimmed,
    CentredSampling: _centred,
}
