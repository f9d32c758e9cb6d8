"""The baselines read the tap of a real bundle, and ask what CARVE would ask."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np

from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods import CROPS
from carve_eval.methods.method import Picture
from carve_runtime import Carve, load_image, refine_image
from tests.support import SCENES

SCENE = SCENES / "scene-02.jpg"
ASKED = Question(
    id="a",
    image=SCENE,
    prompt="What letter is on the red diamond?",
    references=("Z",),
    box=(80, 295, 126, 340),
)


def test_a_relative_map_is_that_of_the_two_passes(pocket: Carve) -> None:
    settings = replace(pocket.manifest.defaults, layers=(1,), method="relative")
    answer = CROPS["square"].ask(Picture(pocket, SCENE), ASKED, settings)
    result = pocket.ask(SCENE, ASKED.prompt, layers=(1,), contrast="on", regularizer=0.0)
    values = (result.question_attention[0, 0] / result.general_attention[0, 0]).astype(float)
    row, column = np.unravel_index(values.argmax(), result.grid)
    height, width = (640 / side for side in result.grid)
    assert answer.peak == ((column + 0.5) * width, (row + 0.5) * height)
    assert answer.plain == result.plain_answer
    assert answer.probability == result.plain_probability
    x0, y0, x1, y1 = answer.box
    assert x1 - x0 == y1 - y0 < 640


def test_the_closer_look_is_the_crop_beside_the_image(pocket: Carve) -> None:
    pair = replace(pocket.manifest.defaults, mask_top_p=0.1, final_prompt="pair")
    alone = replace(pair, final_prompt="refined")
    for name in ("random", "centre"):
        picture = Picture(pocket, SCENE)
        first, second = (CROPS[name].ask(picture, ASKED, each) for each in (pair, alone))
        x0, y0, x1, y1 = first.box
        mask = np.zeros((640, 640), bool)
        mask[y0:y1, x0:x1] = True
        assert abs(mask.mean() - 0.1) < 0.01
        crop, _ = refine_image(load_image(SCENE), mask)
        assert first.refined == pocket.plain(SCENE, ASKED.prompt, refined=crop).answer
        assert second.refined == pocket.plain(crop, ASKED.prompt).answer
        assert first.box == second.box


def test_chance_differs_from_question_to_question_and_not_from_run_to_run(pocket: Carve) -> None:
    picture, settings = Picture(pocket, SCENE), pocket.manifest.defaults
    boxes = [
        CROPS["random"].ask(picture, replace(ASKED, id=name), settings).box
        for name in ("a", "b", "a")
    ]
    assert boxes[0] == boxes[2] != boxes[1]


def test_bytes_of_the_picture_are_read_once(pocket: Carve, tmp_path: Path) -> None:
    copy = tmp_path / "scene.jpg"
    copy.write_bytes(SCENE.read_bytes())
    picture = Picture(pocket, copy)
    settings = replace(pocket.manifest.defaults, layers=(1,), method="relative")
    CROPS["square"].ask(picture, ASKED, settings)
    copy.unlink()
    CROPS["square"].ask(picture, ASKED, replace(settings, method="question"))
    CROPS["regions"].ask(picture, ASKED, settings)


def test_a_picture_goes_with_its_last_reference(pocket: Carve) -> None:
    """Its session may hold gigabytes, which no collector of cycles should have to find."""
    picture = Picture(pocket, SCENE)
    settings = replace(pocket.manifest.defaults, layers=(1,), method="relative")
    CROPS["square"].ask(picture, ASKED, settings)
    gone = weakref.ref(picture)
    gc.disable()
    try:
        del picture
        assert gone() is None
    finally:
        gc.enable()
