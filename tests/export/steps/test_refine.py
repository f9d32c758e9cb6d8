"""``carve_refine.onnx`` equals the runtime, see ``running``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_models import names
from carve_models.interface import refine_interface
from carve_models.settings import Rule, Strategy
from carve_runtime import fuse_contrast, load_image, select_regions
from carve_runtime.method.refine import refine_pixels
from tests.comparing import assert_close
from tests.export.steps.running import SINGLE_BYTES, Run, onnx_runtime, open_vino
from tests.support import PHOTOS, golden

STRATEGIES, RULES = get_args(Strategy), get_args(Rule)
GOLDEN_CASES = range(10)
BORDERLINE = 1e-6  # relative to the threshold, as for the goldens

SINGLE_SALIENCY = 1e-5  # relative
SINGLE_SIDE = 1  # pixels of the refined image's sides: int(w * s) in single precision


@pytest.fixture(scope="module")
def refine(built: Path) -> Run:
    return onnx_runtime(built / names.graph_file(names.CARVE_REFINE))


def feeds(question: Any, general: Any, image: Any, **changes: Any) -> dict[str, Any]:
    """Return the graph's inputs; settings that are not given are the method's defaults."""
    height, width = image.shape[:2]
    given = {
        "question_attention": question,
        "general_attention": general,
        "grid": changes["grid"],
        "window": (0, 0, width, height),
        "image": image,
        "step_weights": np.ones(1),
        "layer_weights": np.ones(question.shape[1]),
        "regularizer": 1e-8,
        "mask_top_p": 0.2,
        "max_regions": 3,
        "strategy": 0,
        "rule": 0,
        "outlier_percent": 0.1,
        "max_refined_pixels": 0,
        **changes,
    }
    return {
        tensor.name: np.asarray(given[tensor.name], tensor.dtype)
        for tensor in refine_interface().inputs
    }


def step_weights(mode: str, common: int) -> Any:
    if mode == "all":
        return np.arange(1.0, common + 1)
    return np.eye(common)[0 if mode == "first" else -1]


def golden_feeds(case: dict[str, Any]) -> dict[str, Any]:
    height, width = case["mask_shape"].tolist()
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    common = min(len(case["q"]), len(case["g"]))
    layer_weights = np.isin(np.arange(case["q"].shape[1]), case["layers"])
    return feeds(
        case["q"],
        case["g"],
        image,
        grid=case["grid"],
        step_weights=step_weights(str(case["mode"]), common),
        layer_weights=layer_weights,
        mask_top_p=case["top"],
        max_regions=case["keep"],
        strategy=STRATEGIES.index(str(case["strategy"])),
    )


def by_the_runtime(case: dict[str, Any], image: Any) -> tuple[Any, Any, Any]:
    """Return saliency, mask and what :func:`refine_pixels` makes of them."""
    saliency = fuse_contrast(
        case["q"],
        case["g"],
        grid=tuple(case["grid"].tolist()),
        image_size=(image.shape[1], image.shape[0]),
        layers=case["layers"].tolist(),
        steps=str(case["mode"]),  # type: ignore[arg-type]
    )
    mask = select_regions(
        saliency,
        mask_top_p=float(case["top"]),
        max_regions=int(case["keep"]),
        strategy=str(case["strategy"]),  # type: ignore[arg-type]
    )
    return saliency, mask, refine_pixels(image, mask, None)


@pytest.mark.parametrize("index", GOLDEN_CASES)
def test_goldens_in_onnx_runtime(index: int, refine: Run) -> None:
    case = golden(index)
    given = golden_feeds(case)
    saliency, mask, box, refined, limited = refine(given)
    expected_saliency, expected_mask, expected = by_the_runtime(case, given["image"])
    np.testing.assert_array_equal(saliency, expected_saliency)
    np.testing.assert_array_equal(mask, expected_mask)
    assert tuple(box) == expected.box == tuple(case["bbox"])
    assert bool(limited) == expected.limited
    np.testing.assert_array_equal(refined, expected.image)


@pytest.mark.parametrize("index", GOLDEN_CASES)
def test_goldens_in_openvino(index: int, refine_in_openvino: Run) -> None:
    case = golden(index)
    given = golden_feeds(case)
    saliency, mask, box, refined, _ = refine_in_openvino(given)
    expected_saliency, expected_mask, expected = by_the_runtime(case, given["image"])
    assert_close(saliency, expected_saliency, rtol=SINGLE_SALIENCY)
    threshold = np.percentile(expected_saliency, (1 - float(case["top"])) * 100)
    sure = np.abs(expected_saliency - threshold) > SINGLE_SALIENCY * threshold
    np.testing.assert_array_equal(mask[sure], expected_mask[sure])
    assert tuple(box) == expected.box
    assert np.abs(np.subtract(refined.shape, expected.image.shape)).max() <= SINGLE_SIDE
    if refined.shape == expected.image.shape:
        of_its_mask = refine_pixels(given["image"], mask, None).image
        assert np.abs(refined.astype(int) - of_its_mask).max() <= SINGLE_BYTES


@pytest.fixture(scope="module")
def refine_in_openvino(built: Path) -> Run:
    return open_vino(built / names.graph_file(names.CARVE_REFINE))


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_map_gives_the_regions_of_the_runtime(refine: Run, data: st.DataObject) -> None:
    """With one token per pixel and a flat general map, saliency is the question's attention."""
    height, width = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    levels = data.draw(st.integers(2, 5))  # few: many ties, which the order of regions resolves
    seed = data.draw(st.integers(0, 2**32 - 1))
    saliency = np.random.default_rng(seed).integers(0, levels, (height, width)) / 4
    share, kept = data.draw(st.floats(0.01, 1.0)), data.draw(st.integers(1, 4))
    strategy, rule = data.draw(st.sampled_from(STRATEGIES)), data.draw(st.sampled_from(RULES))
    outlier = data.draw(st.sampled_from([0.0, 0.1, 20.0, 100.0]))
    mask = mask_of(
        refine,
        saliency,
        mask_top_p=share,
        max_regions=kept,
        strategy=STRATEGIES.index(strategy),
        rule=RULES.index(rule),
        outlier_percent=outlier,
    )
    expected = select_regions(
        saliency,
        mask_top_p=share,
        max_regions=kept,
        strategy=strategy,
        rule=rule,
        outlier_percent=outlier,
    )
    np.testing.assert_array_equal(mask, expected)


def mask_of(refine: Run, saliency: Any, **changes: Any) -> Any:
    attention = saliency.astype(np.float32).reshape(1, 1, -1)
    image = np.zeros((*saliency.shape, 3), np.uint8)
    flat = np.ones_like(attention)
    return refine(feeds(attention, flat, image, grid=saliency.shape, regularizer=0.0, **changes))[1]


def spiral(side: int) -> Any:
    """Return a path of single pixels that winds inwards: the worst case for propagation."""
    path = np.zeros((side, side))
    low, high = 0, side - 1
    path[0] = 1
    while high - low > 1:
        path[low : high + 1, high] = path[high, low : high + 1] = 1
        low += 2
        path[low : high + 1, low - 2] = path[low, low - 2 : high - 1] = 1
        high -= 2
    return path


@pytest.mark.parametrize("shape", ["spiral", "comb", "checkers"])
def test_winding_regions(shape: str, refine: Run) -> None:
    side = 99
    rows, columns = np.indices((side, side))
    comb = ((columns % 2 == 0) | (rows == side - 1)).astype(float)
    checkers = ((rows + columns) % 2).astype(float)
    saliency = {"spiral": spiral(side), "comb": comb, "checkers": checkers}[shape]
    saliency *= 1 + np.random.default_rng(0).random(saliency.shape).astype(np.float32)
    share = float((saliency > 0).mean())
    actual = mask_of(refine, saliency, mask_top_p=share, max_regions=1, rule=1)
    expected = select_regions(saliency, mask_top_p=share, max_regions=1, rule="paper")
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "window",
    [
        (0, 0, 100, 70),
        (1e-7, 0, 100 - 1e-7, 70),
        (-30, 0, 130, 70),
        (12.3, 4.5, 80.25, 66.6),
        (-5.5, -3.25, 50, 100.125),
        (40, 30, 46, 33),  # fewer pixels than tokens
    ],
)
@pytest.mark.parametrize("mode", ["first", "all", "last"])
def test_windows_and_steps(window: Any, mode: str, refine: Run) -> None:
    random, grid = np.random.default_rng(0), (7, 9)
    question = random.random((4, 3, 63), np.float32)
    general = random.random((3, 3, 63), np.float32)
    general[0, 1] = 0.0  # a layer that is left out
    image = random.integers(0, 256, (70, 100, 3), np.uint8)
    expected = fuse_contrast(
        question,
        general,
        grid=grid,
        image_size=(100, 70),
        layers=[0, 2],
        steps=mode,  # type: ignore[arg-type]
        regularizer=0.01,
        window=window,
    )
    saliency, mask, *_ = refine(
        feeds(
            question,
            general,
            image,
            grid=grid,
            window=window,
            step_weights=step_weights(mode, 3),
            layer_weights=[1, 0, 1],
            regularizer=0.01,
        )
    )
    inside = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(saliency), ~inside)
    assert_close(saliency[inside], expected[inside], rtol=BORDERLINE)
    assert not mask[~inside].any()
    kept = select_regions(expected)
    threshold = np.nanpercentile(expected, 80)
    sure = np.abs(expected - threshold) > BORDERLINE * threshold
    np.testing.assert_array_equal(mask[sure], kept[sure])


@pytest.mark.parametrize("limit", [0, 1, 2000, 10**6])
def test_the_pixel_limit(limit: int, refine: Run) -> None:
    attention = np.zeros((1, 1, 16), np.float32)
    attention[0, 0, 5:7] = 1
    image = load_image(PHOTOS / "portrait.jpg")[:90, :60]
    given = feeds(
        attention, attention + 1, image, grid=(4, 4), max_refined_pixels=limit, mask_top_p=0.1
    )
    _, mask, box, refined, limited = refine(given)
    expected = refine_pixels(image, mask, limit or None)
    assert (tuple(box), bool(limited)) == (expected.box, expected.limited)
    np.testing.assert_array_equal(refined, expected.image)
