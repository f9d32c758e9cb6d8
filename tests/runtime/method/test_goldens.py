"""Every case of the authors' released code is reproduced (``tests/goldens/README.md``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from carve_runtime import fuse_contrast, refine_image, select_regions
from tests.comparing import assert_close
from tests.support import golden, stored_goldens

CASES = range(10)
RELATIVE = 1e-5
BORDERLINE = 1e-6


def saliency_of(case: dict[str, Any]) -> Any:
    return fuse_contrast(
        case["q"],
        case["g"],
        grid=tuple(case["grid"].tolist()),
        image_size=tuple(case["size"].tolist()),
        layers=case["layers"].tolist(),
        steps=str(case["mode"]),  # type: ignore[arg-type]
        regularizer=1e-8,
    )


def test_all_cases_are_here() -> None:
    assert {int(key.split("/")[0]) for key in stored_goldens()} == set(CASES)


@pytest.mark.parametrize("index", CASES)
def test_saliency(index: int) -> None:
    case = golden(index)
    saliency = saliency_of(case)
    assert saliency.dtype == np.float64
    assert_close(saliency, case["S"], rtol=RELATIVE)


@pytest.mark.parametrize("index", CASES)
def test_mask_box_and_crop(index: int) -> None:
    case = golden(index)
    saliency = saliency_of(case)
    share = float(case["top"])
    mask = select_regions(
        saliency,
        mask_top_p=share,
        max_regions=int(case["keep"]),
        strategy=str(case["strategy"]),  # type: ignore[arg-type]
        rule="released",
    )
    height, width = case["mask_shape"].tolist()
    expected = np.unpackbits(case["mask"], count=height * width).reshape(height, width).astype(bool)
    threshold = np.percentile(saliency, (1 - share) * 100)
    differing = mask != expected
    borderline = np.abs(saliency - threshold) <= BORDERLINE * threshold
    print(f"case {index}: {differing.sum()} of {differing.size} mask pixels differ")
    assert not (differing & ~borderline).any()

    image = np.full((height, width, 3), 255, np.uint8)
    refined, box = refine_image(image, mask, max_refined_pixels=1 << 28)
    assert list(box) == case["bbox"].tolist()
    assert list(refined.shape[1::-1]) == case["crop_size"].tolist()
