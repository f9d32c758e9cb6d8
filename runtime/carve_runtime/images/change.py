"""How much a picture has changed, as the model sees it."""

from __future__ import annotations

import numpy as np

from carve_models import names
from carve_models.image_rules import ImageRule
from carve_runtime.images.model_input import ModelInput

#: Side of a cell in pixels of the vision encoder's input: noise averages out over one, and a small
#: object fills one. Pocket's views of 120 x 120 pixels show the smallest objects 7 pixels wide.
CELL = 4


def change_between(before: ModelInput, after: ModelInput, rule: ImageRule) -> float:
    """Return the mean absolute difference of the cell that differs most, in levels of 255.

    Each picture that the vision encoder takes (a whole view, a tile or a patch) is divided into
    cells from its upper left corner on; those at its right and lower edge may be smaller.

    Args:
        before: of an image.
        after: of another one of the same size.
        rule: what made both.
    """
    old, new = (each.feeds[names.PIXEL_VALUES] for each in (before, after))
    differences = np.abs(new - old).reshape(rule.color_planes(new.shape))
    planes, height, width = differences.shape[1:]
    deviations = np.ones(3) if rule.std is None else np.asarray(rule.std)
    levels = np.repeat(deviations / rule.rescale_factor, planes // 3) / planes
    sums = np.einsum("npyx,p->nyx", differences, levels)
    rows, columns = (np.arange(0, side, CELL) for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(sums, rows, axis=1), columns, axis=2)
    areas = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    return float((sums / areas).max())
