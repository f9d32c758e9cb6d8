"""Looks are those of the runtime; their agreement is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.comparing import assert_close
from tests.support import POCKET
from tools.research.pocket_l.pointing import hits
from tools.research.pocket_l.questions import scene_questions
from tools.research.precision.looks import Looks, agreement, look


def test_looks_are_what_asking_finds(pocket: Carve) -> None:
    scenes = list(scene_questions("dev", 2, 2))
    found = look(open_bundle(POCKET, verify=False), scenes)
    asked = [(scene.image, text) for scene in scenes for text in scene.questions]
    results = [pocket.ask(image, text, max_new_tokens=1) for image, text in asked]
    rows = np.stack([one.question_attention[0] for one in results])
    rows /= rows.sum(axis=-1, keepdims=True)
    assert_close(found.attention[:, list(found.read)], rows, rtol=1e-4, atol=1e-7)
    for mask, result in zip(found.masks, results, strict=True):
        assert (mask == result.mask).all()
    side = results[0].grid[0]
    for point, target, result in zip(found.points, found.targets, results, strict=True):
        height, width = result.saliency.shape
        rows_and_columns = np.unravel_index(np.nanargmax(result.saliency), result.saliency.shape)
        peak = np.array(rows_and_columns) * side // (height, width)
        assert hits(point, peak)
        assert target.max() < side
    whole = agreement(found, found)
    assert whole.attention == pytest.approx(1)
    assert (whole.strongest, whole.mask_overlap, whole.least_mask_overlap) == (1, 1, 1)
    assert found.pointing == hits(found.points, found.targets).mean()


def test_agreement() -> None:
    def looks(attention: list[list[list[float]]], masks: list[list[bool]]) -> Looks:
        points = np.zeros((len(masks), 2), np.int64)
        return Looks(
            np.array(attention, np.float32), (1,), points, tuple(map(np.array, masks)), points
        )

    one = looks([[[1, 0], [0.5, 0.5]], [[1, 0], [0.25, 0.75]]], [[True, True], [True, False]])
    other = looks([[[0, 1], [0.75, 0.25]], [[1, 0], [0.5, 0.5]]], [[True, False], [True, False]])
    found = agreement(one, other)
    assert found.attention == pytest.approx((0 + 0.75 + 1 + 0.75) / 4)
    assert found.least_layer == pytest.approx(0.5)
    assert found.read_layers == pytest.approx(0.75)
    assert found.strongest == 0.5
    assert (found.mask_overlap, found.least_mask_overlap) == (0.75, 0.5)
    assert one.pointing == 1
