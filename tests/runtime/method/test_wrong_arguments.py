"""Whatever a caller gives in place of an array, a number or a choice: a ``SettingsError``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carve_runtime import (
    Settings,
    SettingsError,
    attention_entropy,
    fuse_contrast,
    refine_image,
    select_regions,
)

Q = np.random.default_rng(0).random((2, 3, 6))
MAP = np.random.default_rng(1).random((8, 9))
HUGE = 10**5000  # Python refuses to print it


class Unprintable:
    """Has no ``repr``."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD: list[Any] = [
    HUGE,
    -HUGE,
    10**400,
    1 << 64,
    float("nan"),
    float("inf"),
    True,
    None,
    "",
    "auto",
    b"auto",
    [],
    {},
    (1, 2),
    np.zeros(3),
    np.array(["auto", "on"]),
    np.array(1),
    1j,
    Unprintable(),
    ["x"] * 1000,
]


def fuse(**changes: Any) -> Any:
    usual = {"grid": (2, 3), "image_size": (9, 8), "layers": [0], "window": None}
    return fuse_contrast(Q, Q, **usual | changes)


WRONG: dict[str, Callable[[], object]] = {
    "entropy of one row": lambda: attention_entropy(np.ones(3)),
    "entropy of steps": lambda: attention_entropy(np.ones((1, 2, 3))),
    "entropy of nothing": lambda: attention_entropy([]),
    "entropy of text": lambda: attention_entropy([["a"]]),
    "ragged entropy": lambda: attention_entropy([[1], [1, 2]]),
    "a map of text": lambda: select_regions([["a"]]),
    "a ragged map": lambda: select_regions([[1.0], [1.0, 2.0]]),
    "a complex map": lambda: select_regions(MAP * 1j),
    "a map of objects": lambda: select_regions(MAP.astype(object)),
    "a number for a map": lambda: select_regions(3.0),
    "a huge map": lambda: fuse(image_size=(1 << 20, 1 << 20)),
    "a map of 5000 digits": lambda: fuse(image_size=(HUGE, 1)),
    "a huge grid": lambda: fuse(grid=(HUGE, 1)),
    "a huge layer": lambda: fuse(layers=[HUGE]),
    "an edge too few": lambda: fuse(window=(0, 0, 9)),
    "a window of text": lambda: fuse(window="0099"),
    "a window without end": lambda: fuse(window=(0, 0, float("inf"), 8)),
    "a window turned round": lambda: fuse(window=(9, 8, 0, 0)),
    "a window of nothing": lambda: fuse(window=(4.49, 4.49, 4.51, 4.51)),
    "a window of a number": lambda: fuse(window=3),
    "attention of 400 digits": lambda: fuse_contrast(
        [[[10**400]]], None, grid=(1, 1), image_size=(2, 2), layers=[0], contrast="off"
    ),
    "a mask of text": lambda: refine_image(np.zeros((4, 4, 3), np.uint8), "mask"),
    "a ragged mask": lambda: refine_image(np.zeros((4, 4, 3), np.uint8), [[1], [1, 0]]),
    "a huge refined image": lambda: refine_image(
        np.zeros((4, 4, 3), np.uint8), np.ones((4, 4)), max_refined_pixels=(1 << 28) + 1
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        WRONG[name]()
    assert caught.value.remedy
    assert len(str(caught.value)) < 500


@given(st.sampled_from([field.name for field in fields(Settings)]), st.sampled_from(ODD))
def test_odd_settings(name: str, value: Any) -> None:
    """Each is taken or refused, whatever it is."""
    with suppress(SettingsError):
        Settings(layers=(0,)).override(**{name: value})


def select(**changes: Any) -> Any:
    return select_regions(MAP, **changes)


ARGUMENTS: dict[Callable[..., object], tuple[str, ...]] = {
    fuse: ("grid", "image_size", "layers", "steps", "contrast", "regularizer", "window"),
    select: ("mask_top_p", "max_regions", "strategy", "rule", "outlier_percent"),
}


@given(
    st.sampled_from([(call, name) for call, names in ARGUMENTS.items() for name in names]),
    st.sampled_from(ODD),
)
def test_odd_arguments(where: tuple[Callable[..., object], str], value: Any) -> None:
    call, name = where
    with suppress(SettingsError):
        call(**{name: value})
