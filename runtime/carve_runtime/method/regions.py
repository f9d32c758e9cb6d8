"""Threshold a saliency map and keep its best regions (``docs/method.md``, 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carve_models.errors import SettingsError
from carve_models.settings import (
    Auto,
    Rule,
    Strategy,
    require_choice,
    require_count,
    require_range,
    require_share_or_auto,
)
from carve_runtime.method.automatic import automatic_share
from carve_runtime.method.components import label_regions
from carve_runtime.method.geometry import Box, bounding_box, real_array

#: Values of a map that are sorted to find out where a percentile lies, and how many of them to
#: either side of it are taken: some of the standard deviations, 64, of a place in that order.
_SAMPLE = 1 << 14
_MARGIN = 512


@dataclass(frozen=True)
class Candidate:
    """A map whose regions compete with those of other maps.

    Attributes:
        saliency: (H, W) of any real type; NaN marks pixels that the model did not see.
        sample: another map, which stands for this one where the threshold is taken; itself if
            ``None``.
        pixel_weight: what a pixel counts where regions are compared.
    """

    saliency: ArrayLike
    sample: ArrayLike | None = None
    pixel_weight: float = 1.0


def select_regions(
    saliency: ArrayLike,
    *,
    mask_top_p: float | Auto = 0.2,
    max_regions: int = 3,
    strategy: Strategy = "attention_sum",
    rule: Rule = "released",
    outlier_percent: float = 0.1,
) -> NDArray[np.bool_]:
    """Return the mask of the kept regions, (H, W) bool.

    Regions are the 4-connected components of the pixels at or above the percentile
    ``(1 - mask_top_p) * 100`` of the finite pixels; NaN pixels are never kept.

    Args:
        saliency: (H, W) of any real type; NaN marks pixels that the model did not see.
        mask_top_p: share of pixels that the threshold keeps; "auto" is the share that holds the
            saliency.
        max_regions: ``K``.
        strategy: rank by sum of saliency, rank by area, or drop small regions only.
        rule: keep the best ``max(K, int(regions * p))`` (released) or exactly ``K`` (paper).
        outlier_percent: ``remove_small`` drops regions of fewer than
            ``int(mask.sum() * outlier_percent / 100)`` pixels.

    Raises:
        SettingsError: a value out of range, no finite pixel, or a negative one where a setting is
            automatic.
    """
    (mask,) = select_among(
        [Candidate(saliency)],
        mask_top_p=mask_top_p,
        max_regions=max_regions,
        strategy=strategy,
        rule=rule,
        outlier_percent=outlier_percent,
    )
    return mask


def select_among(
    candidates: Sequence[Candidate],
    *,
    mask_top_p: float | Auto,
    max_regions: int,
    strategy: Strategy,
    rule: Rule,
    outlier_percent: float,
) -> list[NDArray[np.bool_]]:
    """Return the mask of the kept regions of each map, (H, W) bool: all False where none is kept.

    One threshold is taken of all samples, and the regions of all maps are ranked together. Equal
    ones keep the order of the maps. Arguments and errors as for :func:`select_regions`.
    """
    require_choice("strategy", strategy, Strategy)
    require_choice("rule", rule, Rule)
    require_share_or_auto("mask_top_p", mask_top_p)
    require_count("max_regions", max_regions)
    require_range("outlier_percent", outlier_percent, 0.0, 100.0)
    maps = [_values(candidate.saliency) for candidate in candidates]
    seen = [
        _seen(values if candidate.sample is None else _values(candidate.sample))
        for values, candidate in zip(maps, candidates, strict=True)
    ]
    finite = seen[0] if len(seen) == 1 else np.concatenate(seen)
    share = automatic_share(finite) if isinstance(mask_top_p, str) else mask_top_p
    least = _least_kept(finite, (1.0 - share) * 100)
    found = [_Regions.of(values, least) for values in maps]
    count = sum(regions.count for regions in found)
    keep = max(max_regions, int(count * share)) if rule == "released" else max_regions
    if strategy != "remove_small" and count <= keep:
        return [regions.mask for regions in found]
    by_sum = strategy == "attention_sum"
    scores = np.concatenate(
        [
            regions.scores(values if by_sum else None) * candidate.pixel_weight
            for regions, values, candidate in zip(found, maps, candidates, strict=True)
        ]
    )
    if strategy == "remove_small":
        kept = scores >= int(scores.sum() * outlier_percent / 100)
    else:
        # Regions are numbered in raster order, so a stable sort breaks ties as the method says.
        kept = np.zeros(count, np.bool_)
        kept[np.argsort(-scores, kind="stable")[:keep]] = True
    ends = np.cumsum([regions.count for regions in found])
    return [
        regions.masked(kept[end - regions.count : end])
        for regions, end in zip(found, ends, strict=True)
    ]


@dataclass(frozen=True)
class _Regions:
    """The regions of one map.

    Attributes:
        mask: (H, W) bool, all of them.
        box: around them.
        inside: (n,), of each pixel of the mask in raster order, its region's number from 1 on.
        count: how many there are.
    """

    mask: NDArray[np.bool_]
    box: Box
    inside: NDArray[Any]
    count: int

    @classmethod
    def of(cls, values: NDArray[Any], least: Any) -> _Regions:
        """Find the regions of the pixels that are at least ``least``."""
        mask: NDArray[np.bool_] = values >= least
        x0, y0, x1, y1 = box = bounding_box(mask)
        return cls(mask, box, *label_regions(mask[y0:y1, x0:x1]))

    def scores(self, values: NDArray[Any] | None) -> NDArray[Any]:
        """Return the sum of (H, W) values over each region, (count,); its pixels if ``None``."""
        x0, y0, x1, y1 = self.box
        part = self.mask[y0:y1, x0:x1]
        weights = None if values is None else values[y0:y1, x0:x1][part]
        return np.bincount(self.inside, weights, minlength=self.count + 1)[1:]

    def masked(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask of the regions that are kept, one flag for each."""
        if kept.all():
            return self.mask
        x0, y0, x1, y1 = self.box
        selected = np.zeros_like(self.mask)
        selected[y0:y1, x0:x1][self.mask[y0:y1, x0:x1]] = kept[self.inside - 1]
        return selected


def _values(saliency: ArrayLike) -> NDArray[Any]:
    """Return a map as numbers of single or double precision."""
    # Raster order decides ties, so the memory layout must not.
    values = np.ascontiguousarray(real_array("saliency", saliency))
    return values if values.dtype == np.float32 else values.astype(np.float64, copy=False)


def _seen(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of the pixels that the model saw, (n,), or refuse the map."""
    if values.ndim == 2 and values.size:
        lowest, highest = values.min(), values.max()  # NaN if any pixel is
        seen = values[~np.isnan(values)] if np.isnan(lowest) else values.ravel()
        infinite = np.isinf(seen).any() if np.isnan(lowest) else np.isinf([lowest, highest]).any()
        if len(seen) and not infinite:
            return seen
    raise SettingsError(
        f"the saliency has shape {values.shape} and {int(np.isfinite(values).sum())} finite values",
        "give an (H, W) map of finite values, NaN for pixels that were not seen",
    )


def _least_kept(values: NDArray[Any], percent: float) -> Any:
    """Return the lowest of (n,) values that is not below ``np.percentile(values, percent)``.

    The percentile lies between two neighbours in the order of the values, so that single
    precision, in which it has no exact form, need not be widened.
    """
    position = (len(values) - 1) * (percent / 100)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    lower, upper = _in_order(values, below, above)
    percentile = np.quantile(np.array([lower, upper], np.float64), position - below)
    return lower if lower >= percentile else upper


def _in_order(values: NDArray[Any], below: int, above: int) -> tuple[Any, Any]:
    """Return two neighbours of the sorted (n,) values by their places.

    A sample says between which values both must lie; of a large map few others do, and these alone
    are put in order. Where the sample is wrong, all are.
    """
    sample = np.sort(values[:: max(len(values) // _SAMPLE, 1)])
    near = below * len(sample) // len(values)
    least = sample[max(near - _MARGIN, 0)]
    most = sample[min(near + _MARGIN, len(sample) - 1)]
    among = values[values >= least]
    lower, among = len(values) - len(among), among[among <= most]
    if not lower <= below <= above < lower + len(among):
        lower, among = 0, values
    ordered = np.partition(among, (below - lower, above - lower))
    return ordered[below - lower], ordered[above - lower]
