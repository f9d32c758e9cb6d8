"""Pictures, the page and the command: what a person looks at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_runtime import Attention, Carve, SettingsError, load_image
from carve_runtime.attention.page import attention_page
from carve_runtime.attention.pictures import draw_attention
from tests.consumers.node import node_tests
from tests.runtime.attention.test_attention import BY_HAND, IMAGE, QUESTION
from tests.runtime.cli.commands import carve_run, failed
from tests.support import ROOT

GREY = np.full((2, 4, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def asked(pocket: Carve) -> Attention:
    return pocket.attend(IMAGE, QUESTION, generate=8)


@pytest.mark.parametrize(
    ("options", "rows", "columns"),
    [({}, 4, 3), ({"layers": False}, 1, 3), ({"words": False}, 4, 1)],
)
def test_a_map_for_each_layer_and_word(
    options: Any, rows: int, columns: int, asked: Attention
) -> None:
    picture = draw_attention(asked, load_image(IMAGE), **options)
    assert picture.size == (72 + 200 * columns, 22 + 200 * rows)


def test_a_map_is_bright_where_the_model_looks() -> None:
    """Layer 5 of the first step looks at the left half alone."""
    picture = np.asarray(draw_attention(Attention(**BY_HAND), GREY)).astype(int).sum(axis=2)
    second = picture[22 + 104 : 22 + 104 + 96, 72 : 72 + 192]
    assert second[:, :60].min() > second[:, -60:].max()


def test_the_picture_has_to_be_the_one_that_was_shown(asked: Attention) -> None:
    for show in (draw_attention, attention_page):
        with pytest.raises(SettingsError, match="4 x 2 pixels, the attention is about 640 x 640"):
            show(asked, GREY)


def test_too_many_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carve_runtime.attention.pictures.MOST_MAPS", 3)
    with pytest.raises(SettingsError, match="2 rows and 2 words make 4 maps"):
        draw_attention(Attention(**BY_HAND), GREY)


def test_words_end_no_script() -> None:
    wicked = ("</script><script>alert(1)</script>", "<!--")
    page = attention_page(Attention(**BY_HAND | {"words": wicked}), GREY)
    assert page.count("</script>") == 2
    (data,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert [step["word"] for step in json.loads(data)["steps"]] == list(wicked)


def test_the_page_in_a_browser(asked: Attention, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(attention_page(asked, load_image(IMAGE)))
    expected = {
        "words": asked.words,
        "layers": asked.layers,
        "mass": asked.mass().tolist(),
        "brightest": [
            [int(asked.grid_map(step, layer).argmax()) for layer in asked.layers]
            for step in range(asked.steps)
        ],
        "grid": asked.grid,
    }
    test = ROOT / "tests" / "runtime" / "attention" / "page.test.mjs"
    environment = {"PAGE": page.as_uri(), "EXPECTED": json.dumps(expected)}
    assert node_tests(ROOT / "runtime" / "js", test, **environment) == 2


@pytest.mark.parametrize("name", ["map.png", "map.jpg", "page.html", "attention.npz"])
def test_the_command(name: str, tmp_path: Path) -> None:
    output = tmp_path / name
    result = carve_run("attend", "default", IMAGE, QUESTION, "--every-layer", "-o", output)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "answer  AT"
    assert len(re.findall(r"^layer   \d: \d+\.\d% on the image$", result.output, re.M)) == 4
    assert output.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((IMAGE, QUESTION, "-o", "map.txt"), 2, r"names no kind of file.*\.html, \.npz"),
        ((IMAGE, QUESTION), 2, "Missing option"),
        ((IMAGE, QUESTION, "--every-head", "-o", "page.html"), 2, r"--every-head is for pictures"),
        ((IMAGE, QUESTION, "-o", "/dev/null/map.png"), 2, "cannot be written"),
        (("nowhere.jpg", QUESTION, "-o", "map.png"), 1, "nowhere.jpg"),
        ((IMAGE, "", "-o", "map.png"), 1, "empty"),
        ((IMAGE, QUESTION, "-o", "map.png", "--generate", "0"), 2, "generate is 0"),
        ((IMAGE, QUESTION, "-o", "map.png", "--layers"), 2, "No such option"),
    ],
)
def test_what_the_command_refuses(
    arguments: Any, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed(carve_run("attend", "default", *arguments), code, message)
    assert not list(tmp_path.iterdir())
