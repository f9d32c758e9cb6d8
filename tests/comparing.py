"""How tests compare floats, for which numpy takes NaN for equal, and results."""

from __future__ import annotations

from typing import Any

import numpy as np

from carve_runtime import CarveResult, PlainResult


def assert_close(actual: Any, expected: Any, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Check that two arrays are finite, not empty and alike; equal where no tolerance is given.

    Args:
        actual: numbers of any shape.
        expected: the same shape, or one number.
        rtol: allowed difference, relative to the absolute expected values.
        atol: allowed difference beside that.
    """
    for name, values in (("actual", np.asarray(actual)), ("expected", np.asarray(expected))):
        assert values.size, f"the {name} array is empty"
        finite = np.count_nonzero(np.isfinite(values))
        assert finite == values.size, f"{values.size - finite} of {values.size} {name} not finite"
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def content(result: CarveResult | PlainResult) -> list[Any]:
    """Return all that two equal results have in common, to be compared."""
    if isinstance(result, PlainResult):
        return [result.answer, result.token_ids]
    arrays = (result.saliency, result.mask, result.refined_image)
    return [
        result.answer,
        result.token_ids,
        result.plain_answer,
        result.bbox,
        *(array.tobytes() for array in arrays),
    ]
