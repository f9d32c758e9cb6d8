"""Attention is that of the runtime; agreement is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.comparing import assert_close
from tests.support import POCKET
from tools.research.pocket_l.pointing.questions import scene_questions
from tools.research.precision.attention import SceneAttention, agreement, attend
from tools.shared.models.pointing import hits


def test_attention_is_what_asking_finds(pocket: Carve) -> None:
    scenes = list(scene_questions("dev", 2, 2))
    attention = attend(open_bundle(POCKET, verify=False), scenes)
    asked = [(scene.image, text) for scene in scenes for text in scene.questions]
    results = [pocket.ask(image, text, max_new_tokens=1) for image, text in asked]
    rows = np.stack([result.question_attention[0] for result in results])
    rows /= rows.sum(axis=-1, keepdims=True)
    assert_close(attention.attention[:, list(attention.read)], rows, rtol=1e-4, atol=1e-7)
    for mask, result in zip(attention.masks, results, strict=True):
        assert (mask == result.mask).all()
    side = results[0].grid[0]
    for point, target, result in zip(attention.points, attention.targets, results, strict=True):
        height, width = result.saliency.shape
        rows_and_columns = np.unravel_index(np.nanargmax(result.saliency), result.saliency.shape)
        peak = np.array(rows_and_columns) * side // (height, width)
        assert hits(point, peak)
        assert target.max() < side
    whole = agreement(attention, attention)
    assert whole.attention == pytest.approx(1)
    assert (whole.strongest, whole.mask_overlap, whole.least_mask_overlap) == (1, 1, 1)
    assert attention.pointing == hits(attention.points, attention.targets).mean()


def test_agreement() -> None:
    def scenes(attention: list[list[list[float]]], masks: list[list[bool]]) -> SceneAttention:
        points = np.zeros((len(masks), 2), np.int64)
        return SceneAttention(
            np.array(attention, np.float32), (1,), points, tuple(map(np.array, masks)), points
        )

    left = scenes([[[1, 0], [0.5, 0.5]], [[1, 0], [0.25, 0.75]]], [[True, True], [True, False]])
    right = scenes([[[0, 1], [0.75, 0.25]], [[1, 0], [0.5, 0.5]]], [[True, False], [True, False]])
    actual = agreement(left, right)
    assert actual.attention == pytest.approx((0 + 0.75 + 1 + 0.75) / 4)
    assert actual.least_layer == pytest.approx(0.5)
    assert actual.read_layers == pytest.approx(0.75)
    assert actual.strongest == 0.5
    assert (actual.mask_overlap, actual.least_mask_overlap) == (0.75, 0.5)
    assert left.pointing == 1
