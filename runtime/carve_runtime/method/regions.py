"""Threshold a saliency map and keep its best regions (``docs/method.md``, 5 and 6)."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import ArrayLike, NDArray

from carve_models.errors import SettingsError
from carve_models.settings import (
    Auto,
    Rule,
    Strategy,
    require_choice,
    require_count,
    require_or_auto,
    require_range,
    require_share,
)
from carve_runtime.method.automatic import automatic_share

_FOUR_CONNECTED = 4


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
        saliency: (H, W); NaN marks pixels that the model did not see.
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
    # Raster order decides ties, so the memory layout must not.
    values = np.ascontiguousarray(saliency, np.float64)
    require_choice("strategy", strategy, Strategy)
    require_choice("rule", rule, Rule)
    require_or_auto(require_share, "mask_top_p", mask_top_p)
    require_count("max_regions", max_regions)
    require_range("outlier_percent", outlier_percent, 0.0, 100.0)
    seen = ~np.isnan(values)
    if values.ndim != 2 or not seen.any() or np.isinf(values).any():
        raise SettingsError(
            f"the saliency has shape {values.shape} and {int(np.isfinite(values).sum())} finite "
            "values",
            "give an (H, W) map of finite values, NaN for pixels that were not seen",
        )
    finite = values.ravel() if seen.all() else values[seen]
    share = automatic_share(finite) if isinstance(mask_top_p, str) else mask_top_p
    threshold = np.percentile(finite, (1.0 - share) * 100)
    mask = seen & (values >= threshold)
    labels, count = cc3d.connected_components(mask, connectivity=_FOUR_CONNECTED, return_N=True)
    inside = labels[mask]
    areas = np.bincount(inside, minlength=count + 1)
    if strategy == "remove_small":
        kept = areas >= int(areas[1:].sum() * outlier_percent / 100)
    else:
        scores = areas
        if strategy == "attention_sum":
            scores = np.bincount(inside, values[mask], minlength=count + 1)
        # Labels are numbered in raster order, so a stable sort breaks ties as the method says.
        ranked = np.argsort(-scores[1:], kind="stable") + 1
        keep = max(max_regions, int(count * share)) if rule == "released" else max_regions
        kept = np.isin(np.arange(count + 1), ranked[:keep])
    kept[0] = False
    selected: NDArray[np.bool_] = kept[labels]
    return selected
