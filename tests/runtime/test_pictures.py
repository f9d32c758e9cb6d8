"""Every picture shows what its name says, pixel for pixel."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_models.replacing import replacing
from carve_runtime import Carve, CarveResult, SettingsError, draw_result
from carve_runtime.method.lazy import known
from carve_runtime.method.refine import Refined
from carve_runtime.pictures import heat_map, pictures, save_picture
from tests.support import SCENES

BRIGHT, DARK, BOX = (252, 255, 164), (0, 0, 4), (255, 48, 48)
#: Of the overview's panels, and between them.
SIDE, MARGIN = 360, 12


@pytest.fixture(scope="module")
def result(pocket: Carve) -> CarveResult:
    return pocket.ask(SCENES / "scene-01.jpg", "What letter is on the yellow square?")


def test_a_heat_map_grows_brighter() -> None:
    colors = heat_map(np.array([[np.nan, 1.0], [2.0, 3.0]]))
    assert tuple(colors[1, 1]) == BRIGHT
    assert tuple(colors[0, 1]) == tuple(colors[0, 0]) == DARK
    assert colors[0, 1].sum() < colors[1, 0].sum() < colors[1, 1].sum()


def test_the_pictures_of_a_result(result: CarveResult) -> None:
    shown: dict[str, Any] = {name: np.asarray(image) for name, image in pictures(result).items()}
    image, mask = result.image, result.mask
    assert 0 < mask.mean() < 1
    np.testing.assert_array_equal(shown["original"], image)
    np.testing.assert_array_equal(shown["saliency"], heat_map(result.saliency))
    np.testing.assert_array_equal(shown["mask"], mask * np.uint8(255))
    np.testing.assert_array_equal(shown["masked"][mask], image[mask])
    assert not shown["masked"][~mask].any()
    np.testing.assert_array_equal(shown["refined"], result.refined_image)
    x0, y0, x1, y1 = result.bbox
    for y, x in ((y0, x0), (y0, x1 - 1), (y1 - 1, x0), (y1 - 1, x1 - 1)):
        assert tuple(shown["regions"][y, x]) == BOX
    outside = np.ones_like(mask)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(shown["regions"][outside], image[outside] // 4)
    warmer = shown["heat"].astype(int).sum(axis=2) - image.sum(axis=2)
    assert warmer.flat[np.nanargmax(result.saliency)] > warmer.flat[np.nanargmin(result.saliency)]


def test_the_overview_has_its_panels_in_order(result: CarveResult) -> None:
    """A result of four plain colours: white, its heat map, half of it dimmed, and green."""
    white = np.full((90, 90, 3), 255, np.uint8)
    left = np.broadcast_to(np.arange(90) < 45, (90, 90))
    green = np.full((90, 90, 3), (0, 255, 0), np.uint8)
    plain = replace(
        result,
        image=white,
        saliency_map=known(np.where(left, 1.0, 0.0)),
        refined=Refined(green, left, (0, 0, 45, 90), (90, 90), limited=False),
    )
    overview = np.asarray(draw_result(plain, "Why?"))
    row = overview[overview.shape[0] // 2]
    panels = [row[MARGIN + (SIDE + MARGIN) * panel :][:SIDE].astype(int) for panel in range(4)]
    original, contrast, regions, refined = (
        (panel[SIDE // 4], panel[3 * SIDE // 4]) for panel in panels
    )
    assert [tuple(color) for color in original] == [(255, 255, 255)] * 2
    assert contrast[0].sum() > contrast[1].sum()
    assert regions[0].sum() > regions[1].sum()
    assert [tuple(color) for color in refined] == [(0, 255, 0)] * 2


def test_a_result_in_a_notebook(result: CarveResult) -> None:
    """The overview is there to be looked at, and an answer is text, not markup."""
    page = replace(result, answer="<b>", plain_answer=None)._repr_html_()
    assert "plain: <b>none</b>, CARVE: <b>&lt;b&gt;</b>" in page
    encoded = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)[0]
    with Image.open(BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.size == draw_result(result).size


def test_a_result_in_a_folder(result: CarveResult, tmp_path: Path) -> None:
    paths = result.save(tmp_path / "new" / "folder", "What letter?")
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    assert {path.name for path in paths} == {f"{name}.png" for name in pictures(result)} | {
        "carve.png",
        "result.json",
    }
    document = json.loads(paths[-1].read_bytes())
    assert document == json.loads(json.dumps(result.to_dict()))
    assert (document["answer"], document["bbox"]) == (result.answer, list(result.bbox))


#: Bytes that numpy may take for each pixel: some of the picture, and never real numbers of all.
DRAWN, SAVED = 4, 16


def test_a_photograph_is_drawn_in_little_memory(result: CarveResult, tmp_path: Path) -> None:
    side = 2400
    large = np.zeros((side, side, 3), np.uint8)
    mask = np.zeros((side, side), bool)
    mask[600:1200, 600:1200] = True
    large[mask] = 200
    saliency = np.where(mask, 2.0, 1.0)
    whole = replace(
        result,
        image=large,
        saliency_map=known(saliency),
        refined=Refined(large, mask, (600, 600, 1200, 1200), (600, 600), limited=False),
    )
    tracemalloc.start()
    overview = np.asarray(draw_result(whole))
    drawn = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    whole.save(tmp_path)
    saved = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn < DRAWN * side**2
    assert saved < SAVED * side**2
    inside = np.s_[30 + SIDE * 3 // 8, 12 + SIDE * 3 // 8]
    assert tuple(overview[inside]) == (200, 200, 200)
    assert overview[30 + SIDE * 3 // 8, 2 * MARGIN + SIDE + SIDE * 3 // 8].sum() > 400


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as first, replacing(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"  # which ended last
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("name", "side"), [("a.webp", 16384), ("a.JPG", 65501)])
def test_a_picture_too_large_for_its_format(name: str, side: int, tmp_path: Path) -> None:
    picture = Image.new("L", (side, 1))
    with pytest.raises(SettingsError, match=r"does not fit into .*\. End the name in \.png"):
        save_picture(picture, tmp_path / name)
    assert not any(tmp_path.iterdir())
    assert save_picture(picture, tmp_path / "a.png").exists()
