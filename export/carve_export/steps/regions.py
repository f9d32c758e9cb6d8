"""Threshold and regions as ONNX operators: the twin of ``carve_runtime.method.regions``.

Components are found on runs (stretches of kept pixels within a row), not on pixels: a running sum
numbers them, and hooking with pointer jumping (Shiloach-Vishkin; Zhang, Azad and Hu, "FastSV",
2020) joins those that touch. A component is named by its first run, so raster order is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant, count_up, loop, real, whole
from carve_models.settings import Rule, Strategy

_STRATEGIES, _RULES = get_args(Strategy), get_args(Rule)


@dataclass(frozen=True)
class RegionSettings:
    """The settings of this step as graph inputs: float64 and int64 scalars.

    ``strategy`` and ``rule`` count from 0 in the order of :data:`carve_models.settings.Strategy`
    and ``Rule``.
    """

    mask_top_p: Value
    max_regions: Value
    strategy: Value
    rule: Value
    outlier_percent: Value


def select_regions(op: Op, saliency: Value, settings: RegionSettings) -> Value:
    """Return the mask of the kept regions, (H, W) bool.

    Args:
        op: the operators.
        saliency: (H, W) float32, NaN where the model saw nothing.
        settings: which pixels and regions to keep.
    """
    mask = _threshold(op, saliency, settings.mask_top_p)
    run = _runs(op, mask)
    roots = _components(op, mask, run)
    kept = _rank(op, saliency, mask, run, roots, settings)
    return op.And(mask, op.Gather(kept, run, axis=0))


def _threshold(op: Op, saliency: Value, share: Value) -> Value:
    """Return ``S >= percentile(S, (1 - p) * 100)`` as numpy interpolates it, over seen pixels."""
    one, hundred = constant(op, 1.0, np.float64), constant(op, 100.0, np.float64)
    unseen = op.IsNaN(saliency)
    values = op.Where(unseen, constant(op, -np.inf, np.float32), saliency)
    flat = op.Reshape(values, [-1])
    count = op.ReduceSum(whole(op, op.Not(unseen)), keepdims=0)
    quantile = op.Div(op.Mul(op.Sub(one, share), hundred), hundred)
    position = op.Mul(real(op, op.Sub(count, constant(op, 1, np.int64))), quantile)
    below = op.Floor(position)
    fraction = op.Sub(position, below)
    # The value at rank i from below is the smallest of the largest count - i.
    largest = op.Sub(count, whole(op, below))
    low = _smallest_of_largest(op, flat, largest)
    high = _smallest_of_largest(op, flat, op.Sub(largest, constant(op, 1, np.int64)))
    step = op.Sub(high, low)
    threshold = op.Where(
        op.Less(fraction, 0.5),
        op.Add(low, op.Mul(step, fraction)),
        op.Sub(high, op.Mul(step, op.Sub(one, fraction))),
    )
    return op.And(op.Not(unseen), op.GreaterOrEqual(real(op, values), threshold))


def _smallest_of_largest(op: Op, flat: Value, count: Value) -> Value:
    at_least_one = op.Max(count, constant(op, 1, np.int64))
    top, _ = op.TopK(flat, op.Unsqueeze(at_least_one, [0]), sorted=0, _outputs=2)
    return real(op, op.ReduceMin(top, keepdims=0))


def _runs(op: Op, mask: Value) -> Value:
    """Return for each pixel the number of the last run that began at or before it, (H, W)."""
    before = op.Slice(_pad(op, mask, [0, 1, 0, 0]), [0], [-1], [1])
    starts = op.And(mask, op.Not(before))
    flat = op.Reshape(whole(op, starts), [-1])
    run = op.Sub(op.CumSum(flat, constant(op, 0, np.int64)), constant(op, 1, np.int64))
    # Pixels before the first run would be -1; they are not kept, any run will do.
    return op.Reshape(op.Max(run, constant(op, 0, np.int64)), op.Shape(mask))


def _pad(op: Op, mask: Value, pads: list[int]) -> Value:
    return op.Pad(mask, pads, constant(op, False, np.bool_))


def _components(op: Op, mask: Value, run: Value) -> Value:
    """Return each run's component, named by its first run, (runs,) int64."""
    both = op.And(op.Slice(mask, [0], [-1], [0]), op.Slice(mask, [1], [2**31 - 1], [0]))
    # Of pixels side by side that join the same two runs, the first is enough.
    earlier = op.Slice(_pad(op, both, [0, 1, 0, 0]), [0], [-1], [1])
    joins = op.Squeeze(
        op.Transpose(op.NonZero(op.Reshape(op.And(both, op.Not(earlier)), [-1])), perm=[1, 0]),
        [1],
    )
    flat = op.Reshape(run, [-1])
    upper = op.GatherElements(flat, joins, axis=0)
    width = op.Gather(op.Shape(mask), constant(op, 1, np.int64), axis=0)
    lower = op.GatherElements(flat, op.Add(joins, width), axis=0)
    count = op.Add(op.ReduceMax(flat, keepdims=0), constant(op, 1, np.int64))
    zero = constant(op, 0, np.int64)
    copies = constant(op, [2], np.int64)

    def hook_and_jump(op: Op, trip: Value, going: Value, parent: Value) -> list[Value]:
        grand = op.GatherElements(parent, parent, axis=0)
        least = op.Min(
            op.GatherElements(grand, upper, axis=0), op.GatherElements(grand, lower, axis=0)
        )
        hooked = op.ScatterElements(
            parent,
            op.Concat(
                op.GatherElements(parent, upper, axis=0),
                op.GatherElements(parent, lower, axis=0),
                axis=0,
            ),
            op.Tile(least, copies),
            reduction="min",
        )
        joined = op.Min(hooked, grand)
        changes = op.ReduceSum(op.Sub(parent, joined), keepdims=0)  # names only become smaller
        return [op.Greater(changes, zero), joined]

    return loop(op, count, hook_and_jump, count_up(op, count), ir.DataType.INT64)


def _rank(
    op: Op, saliency: Value, mask: Value, run: Value, roots: Value, settings: RegionSettings
) -> Value:
    """Return which runs belong to regions that are kept, (runs,) bool."""
    pixels = op.Squeeze(op.Transpose(op.NonZero(op.Reshape(mask, [-1])), perm=[1, 0]), [1])
    owner = op.Gather(roots, op.Gather(op.Reshape(run, [-1]), pixels, axis=0), axis=0)
    values = real(op, op.Gather(op.Reshape(saliency, [-1]), pixels, axis=0))
    nothing = op.Expand(constant(op, 0.0, np.float64), op.Shape(roots))
    areas = op.ScatterElements(
        nothing,
        owner,
        op.Expand(constant(op, 1.0, np.float64), op.Shape(owner)),
        reduction="add",
    )
    sums = op.ScatterElements(nothing, owner, values, reduction="add")
    runs = count_up(op, op.Squeeze(op.Shape(roots), [0]))
    is_root = op.And(op.Equal(roots, runs), op.Greater(areas, 0.0))
    count = op.ReduceSum(whole(op, is_root), keepdims=0)

    released = op.Max(settings.max_regions, whole(op, op.Mul(real(op, count), settings.mask_top_p)))
    is_paper = op.Equal(settings.rule, constant(op, _RULES.index("paper"), np.int64))
    keep = op.Min(op.Where(is_paper, settings.max_regions, released), count)
    by_size = op.Equal(settings.strategy, constant(op, _STRATEGIES.index("size"), np.int64))
    scores = op.Where(is_root, op.Where(by_size, areas, sums), constant(op, -np.inf, np.float64))
    _, best = op.TopK(scores, op.Unsqueeze(keep, [0]), _outputs=2)  # ties: the first in order
    unranked = op.Expand(constant(op, False, np.bool_), op.Shape(roots))
    ranked = op.ScatterElements(
        unranked, best, op.Expand(constant(op, True, np.bool_), op.Shape(best))
    )
    total = op.ReduceSum(areas, keepdims=0)
    smallest = op.Floor(op.Div(op.Mul(total, settings.outlier_percent), 100.0))
    removes = op.Equal(settings.strategy, constant(op, _STRATEGIES.index("remove_small"), np.int64))
    large = op.GreaterOrEqual(areas, smallest)
    chosen = op.Or(op.And(removes, large), op.And(op.Not(removes), ranked))
    return op.Gather(chosen, roots, axis=0)
