"""ViCrop's choice of a square, on maps whose answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from carve_eval.methods.windows import RATIOS, sharpest_square, strongest_token
from tests.comparing import assert_close

#: 24 x 24 tokens of 40 pixels; the model's input has 336.
GRID, SIZE, WINDOW, SIDE = (24, 24), (960, 960), (0.0, 0.0, 960.0, 960.0), 336


def spot(row: int, column: int, side: int) -> np.ndarray:
    values = np.zeros(GRID, np.float32)
    values[row : row + side, column : column + side] = 1
    return values


def test_a_spot_is_framed_by_the_square_of_its_size() -> None:
    # The least square is 8 tokens wide: it loses a column of the spot with each step. Larger ones
    # hold more of what surrounds it.
    values = np.maximum(spot(4, 10, 8), np.float32(0.05))
    box = sharpest_square(values, window=WINDOW, image_size=SIZE, side=SIDE)
    assert box == (560 - 168, 320 - 168, 560 + 168, 320 + 168)


def test_a_larger_spot_is_framed_by_a_larger_square() -> None:
    # 13 tokens: the square of ratio 1.6 is the first that reaches as far, 537.6 / 40 = 13.
    box = sharpest_square(spot(5, 6, 13), window=WINDOW, image_size=SIZE, side=SIDE)
    assert box[2] - box[0] == int(SIDE * RATIOS[3])
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert_close(centre, ((6 + 6.5) * 40, (5 + 6.5) * 40), rtol=0, atol=1)


def test_a_square_at_the_edge_stays_in_the_image() -> None:
    box = sharpest_square(spot(0, 16, 8), window=WINDOW, image_size=SIZE, side=SIDE)
    assert box[1] == 0
    assert box[3] == SIDE
    assert box[2] <= SIZE[0]


def test_an_image_no_larger_than_the_models_input_is_kept_whole() -> None:
    size, window = (300, 200), (0.0, 0.0, 300.0, 200.0)
    box = sharpest_square(spot(0, 0, 3), window=window, image_size=size, side=SIDE)
    assert box == (0, 0, *size)


def test_tokens_wider_than_the_square_count_as_one() -> None:
    size, window = (24000, 24000), (0.0, 0.0, 24000.0, 24000.0)
    x0, y0, x1, y1 = sharpest_square(spot(3, 5, 1), window=window, image_size=size, side=SIDE)
    assert x0 <= 5500 <= x1
    assert y0 <= 3500 <= y1


@pytest.mark.parametrize("left", [0.0, 120.0])
def test_places_are_those_of_what_the_model_saw(left: float) -> None:
    """A centre crop: the map covers a part of the image."""
    window = (left, 0.0, left + 960.0, 960.0)
    assert strongest_token(spot(2, 3, 1), window) == (left + 140, 100)
    box = sharpest_square(spot(4, 10, 8), window=window, image_size=(1200, 960), side=SIDE)
    assert box[0] == left + 560 - 168
