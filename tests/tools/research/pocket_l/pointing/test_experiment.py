"""Choice, controls and figures on made-up attention whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_models.settings import Auto
from carve_runtime import fuse_contrast
from tests.comparing import assert_close
from tools.research.pocket_l.pointing.contrast import contrast, with_sum
from tools.research.pocket_l.pointing.experiment import (
    ALONE,
    CONTRAST,
    choose,
    of_another_scene,
    of_average_scene,
    point,
)
from tools.research.pocket_l.pointing.findings import find
from tools.research.pocket_l.pointing.report import tables
from tools.research.pocket_l.pointing.split import Split

GRID = (6, 6)
LAYERS, SIGNAL = 3, 1


def made_up_split(seed: int, scenes: int = 30, per_scene: int = 2) -> Split:
    """In the layer ``SIGNAL`` the question doubles the target's share of a biased attention.

    Each scene has salient tokens of its own beside the bias that all scenes share.
    """
    rng = np.random.default_rng(seed)
    count, tokens = scenes * per_scene, GRID[0] * GRID[1]
    bias = np.exp(np.random.default_rng(0).normal(0, 1.5, (LAYERS, tokens)))
    scene = np.repeat(np.arange(scenes), per_scene)
    salience = np.exp(rng.normal(0, 0.5, (scenes, 1, tokens)))[scene]
    general = 1e-3 * bias * salience * np.ones((count, 1, 1))
    targets = rng.integers(0, GRID, (count, 2))
    noise = np.exp(rng.normal(0, 0.05, general.shape))
    question = general * noise
    where = np.ravel_multi_index(tuple(targets.T), GRID)
    question[np.arange(count), SIGNAL, where] *= 2.0
    return Split(
        question=np.stack([question, question]).astype(np.float32),
        general=np.stack([general, general]).astype(np.float32),
        scene=scene,
        targets=targets,
        other_objects=tuple(token[None] for token in (targets + 3) % GRID),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.sampled_from([1e-8, 1e-5, 1e-2, "auto"]), st.integers(0, LAYERS - 1))
def test_the_contrast_is_the_runtimes(seed: int, regularizer: float | Auto, layer: int) -> None:
    split = made_up_split(seed, scenes=1, per_scene=1)
    question, general = split.question[0], split.general[0]
    maps = with_sum(contrast(question, general, regularizer))
    for row, layers in ((layer, [layer]), (LAYERS, range(LAYERS))):
        expected = fuse_contrast(
            question,
            general,
            grid=GRID,
            image_size=GRID[::-1],
            layers=layers,
            steps="first",
            regularizer=regularizer,
        )
        assert_close(maps[0, row].reshape(GRID), expected, rtol=1e-5)


def test_per_token_is_the_variance_over_layers_by_the_mean() -> None:
    general = made_up_split(0, scenes=1).general[0]
    actual = contrast(general, general, "per token")
    amount = general.var(axis=1, keepdims=True) / general.mean(axis=1, keepdims=True)
    assert_close(actual, general / (general + amount), rtol=1e-5)


def test_the_layer_with_the_signal_is_chosen() -> None:
    split = made_up_split(1)
    chosen = choose(point(split, GRID), split.targets, CONTRAST)
    assert chosen.layer == SIGNAL
    assert chosen.regularizer is not None
    assert choose(point(split, GRID), split.targets, ALONE).regularizer is None


def test_the_average_scene_keeps_the_bias_alone() -> None:
    split = made_up_split(2)
    average = of_average_scene(split)
    assert average.shape == (2, 1, LAYERS, GRID[0] * GRID[1])
    assert_close(average[0, 0], split.general[0, ::2].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("per_scene", [1, 2, 3])
def test_another_scene_is_another_scene(per_scene: int) -> None:
    split = made_up_split(3, scenes=4, per_scene=per_scene)
    swapped = of_another_scene(split)
    for index, scene in enumerate(split.scene):
        first = int(np.flatnonzero(split.scene == (scene + 1) % 4)[0])
        assert np.array_equal(swapped[:, index], split.general[:, first])


def test_findings_tell_signal_from_position_and_chance() -> None:
    findings = find(made_up_split(4), made_up_split(5), GRID)
    rows = {row.title: row for row in findings.rows}
    whole, alone = rows["contrast"], rows["question alone, the contrast's layer"]
    averaged = rows["contrast with the average scene's A_G"]
    swapped = rows["contrast with another scene's A_G"]
    assert whole.on_target.estimate > 0.95
    assert whole.near.low > averaged.near.high
    assert averaged.near.estimate > alone.near.estimate
    assert swapped.near.estimate < whole.near.estimate
    assert rows["contrast, hits on the scene's other objects"].near.estimate < 0.2
    ratio = findings.ratios["question alone, the contrast's layer"]
    assert ratio is None or ratio.low > 1
    assert findings.position_share is not None
    assert 0 < findings.position_share.estimate < 1
    assert findings.test.only_first > findings.test.only_second
    assert len(findings.curves["contrast"]) == LAYERS + 1
    assert int(np.argmax(findings.curves["contrast"])) == SIGNAL


def test_the_report_has_a_line_for_every_row() -> None:
    findings = find(made_up_split(6), made_up_split(7), GRID)
    pointing, *_ = report = tables(findings)
    rows = (*findings.rows, *findings.by_wording, *findings.by_regularizer)
    assert [row[0] for table in report[:3] for row in table.rows] == [row.title for row in rows]
    assert len(report) == 4
    assert pointing.cell("contrast", "layer") == str(findings.contrast.layer)
    assert pointing.cell("contrast", "on target") == findings.rows[0].on_target.percent
