"""Black out, crop and magnify."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from carve_runtime import SettingsError, load_image, refine_image
from carve_runtime.method.refine import magnified_size, refine_pixels
from tests.support import SCENES

PHOTO = load_image(SCENES / "scene-01.jpg")


def mask_of(*boxes: tuple[int, int, int, int]) -> Any:
    mask = np.zeros(PHOTO.shape[:2], bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def test_two_regions_share_one_box_and_the_rest_is_black() -> None:
    mask = mask_of((100, 50, 140, 90), (200, 300, 240, 330))
    refined, box = refine_image(PHOTO, mask)
    assert box == (100, 50, 240, 330)
    black = PHOTO * mask[..., None]
    crop = Image.fromarray(black[50:330, 100:240])
    scale = max(640 / 140, 640 / 280)
    size = int(140 * scale), int(280 * scale)
    np.testing.assert_array_equal(refined, np.asarray(crop.resize(size, Image.Resampling.LANCZOS)))


def test_an_empty_mask_keeps_the_whole_image_black() -> None:
    refined, box = refine_image(PHOTO, mask_of())
    assert box == (0, 0, 640, 640)
    assert refined.shape == PHOTO.shape
    assert not refined.any()


@pytest.mark.parametrize("box", [(0, 0, 6, 640), (0, 0, 640, 6), (9, 0, 10, 640)])
def test_a_thin_crop_does_not_explode(box: tuple[int, int, int, int]) -> None:
    refined, actual = refine_image(PHOTO, mask_of(box))
    assert actual == box
    height, width = refined.shape[:2]
    assert height * width <= 4 * 640 * 640
    expected = (box[2] - box[0]) / (box[3] - box[1])
    assert width / height == pytest.approx(expected, rel=0.02)


@given(
    crop=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    more=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
    limit=st.one_of(st.none(), st.integers(1, 10**6)),
)
@settings(deadline=None)
def test_magnified_size(crop: Any, more: Any, limit: int | None) -> None:
    image = (crop[0] + more[0], crop[1] + more[1])
    (w, h), limited = magnified_size(crop, image, limit)
    assert w >= 1
    assert h >= 1
    if limited:
        assert w * h <= (4 * image[0] * image[1] if limit is None else limit)
    else:
        scale = max(image[0] / crop[0], image[1] / crop[1])
        assert (w, h) == (int(crop[0] * scale), int(crop[1] * scale))


def test_a_limit_on_the_final_pass_leaves_the_other_limit() -> None:
    mask = mask_of((100, 50, 104, 300))
    usual, few, many = (refine_pixels(PHOTO, mask, None, most) for most in (None, 5_000, 1 << 28))
    assert usual.limited
    assert many.size == usual.size
    assert few.size[0] * few.size[1] <= 5_000


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(SettingsError, match="mask has shape"):
        refine_image(PHOTO, np.ones((3, 3), bool))
