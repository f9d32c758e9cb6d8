"""When in a clip the answer lies: the shortest run of moments that holds most of the saliency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Auto, require_count, require_flag, require_range
from carve_runtime.method.automatic import automatic_share
from carve_runtime.video.moments import Moment

#: Sums of shares differ by their rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How CARVE refines a clip, beside the :class:`carve_runtime.Settings` of its maps.

    Attributes:
        mass_share: least share of the saliency over time that the interval holds, 0 to 1.
        min_seconds: the interval is at least so long, if the clip is.
        refined_frames: most frames of the refined clip; as many as the model has seen of the whole
            one if ``None``.
        crop: cut the frames to the regions; without it they are only seen more densely.
    """

    mass_share: float = 0.5
    min_seconds: float = 0.0
    refined_frames: int | None = None
    crop: bool = True

    def __post_init__(self) -> None:
        """Check each.

        Raises:
            SettingsError: a value out of range.
        """
        require_range("mass_share", self.mass_share, 0.0, 1.0)
        require_range("min_seconds", self.min_seconds, 0.0)
        if self.refined_frames is not None:
            require_count("refined_frames", self.refined_frames)
        require_flag("crop", self.crop)


@dataclass(frozen=True)
class Interval:
    """A stretch of a clip; each pair is half-open.

    Attributes:
        moments: which of those that the model has seen.
        frames: indices of the clip.
        seconds: from the start of the clip.
    """

    moments: tuple[int, int]
    frames: tuple[int, int]
    seconds: tuple[float, float]


def mass_over_time(
    fused: NDArray[np.float64], moments: int, top_share: float | Auto
) -> NDArray[np.float64]:
    """Return the share of the saliency that lies in each moment, (moments,), 1 in all.

    Only tokens at or above the threshold count, one for the whole clip. A contrast is near one
    wherever the question changes nothing, so that a sum over all tokens would be all but even.

    Args:
        fused: (N,), the map of all moments, one after the other.
        moments: how many there are; each has as many tokens.
        top_share: the setting ``mask_top_p``: share of the tokens that the threshold keeps.
    """
    share = automatic_share(fused) if isinstance(top_share, str) else top_share
    least = np.percentile(fused, (1.0 - share) * 100)
    kept = np.where(fused >= least, np.maximum(fused, 0.0), 0.0)
    mass = kept.reshape(moments, -1).sum(axis=1)
    total = mass.sum()
    return np.asarray(mass / total) if total > 0 else np.full(moments, 1.0 / moments)


def edges_between(moments: Sequence[Moment], count: int) -> list[int]:
    """Return where each moment begins, and the clip ends: a frame belongs to the nearest one.

    Args:
        moments: what is seen.
        count: frames of the clip.
    """
    between = [
        (before.frames[-1] + after.frames[0] + 1) // 2 for before, after in pairwise(moments)
    ]
    return [0, *between, count]


def choose_interval(
    mass: NDArray[np.float64], edges: Sequence[int], fps: float, settings: ClipSettings
) -> Interval:
    """Return the shortest run of moments that holds enough of the mass and is long enough.

    Among runs of as many moments the one that holds most wins, and of equal ones the first. The
    whole clip is taken if none is long enough.

    Args:
        mass: (moments,), which is 1 in all.
        edges: (moments + 1), frames where they begin and end.
        fps: frames a second of the clip.
        settings: what is enough.
    """
    begins = np.asarray(edges) / fps
    through = np.concatenate([[0.0], np.cumsum(mass)])
    for length in range(1, len(mass) + 1):
        held = through[length:] - through[:-length]
        long_enough = begins[length:] - begins[:-length] >= settings.min_seconds - _ROUNDING
        held = np.where(long_enough, held, -1.0)
        first = int(np.argmax(held >= held.max() - _ROUNDING))
        if held[first] >= settings.mass_share - _ROUNDING:
            return interval_of((first, first + length), edges, fps)
    return interval_of((0, len(mass)), edges, fps)


def interval_of(moments: tuple[int, int], edges: Sequence[int], fps: float) -> Interval:
    """Return a run of moments with its frames and seconds."""
    first, stop = (edges[moment] for moment in moments)
    return Interval(moments, (first, stop), (first / fps, stop / fps))


def spread(first: int, stop: int, most: int) -> tuple[int, ...]:
    """Return at most so many frames of ``[first, stop)``: the middle one of each equal part."""
    length = stop - first
    count = min(most, length)
    return tuple(first + (2 * part + 1) * length // (2 * count) for part in range(count))
