"""The benchmark asks as the product does, goes on where it stopped, and counts what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from carve_runtime.method.refine import bounding_box
from tools.research.quality import __main__ as command
from tools.research.quality.attempts import Attempt, Carved, Cropped
from tools.research.quality.bench import Bench
from tools.research.quality.study import AUTOMATIC, LINES, Size, Study

CACHE = "cache"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    cache = tmp_path_factory.mktemp(CACHE)
    return Study(Bench(open_bundle(), cache), "dev", Size(pictures=2, grid=1))


def test_it_answers_as_the_product_does(study: Study, pocket: Carve) -> None:
    settings = study.defaults
    changes: list[dict[str, Any]] = [
        {},
        {"contrast": "off"},
        {"final_prompt": "refined"},
        {"variant": "v4", "layers": (1, 2)},
        {"adaptive": True, "sure_probability": 0.5, "focused_entropy": 9.0},
        AUTOMATIC,
    ]
    attempts = [Carved(str(one), settings.override(**one)) for one in changes]
    found = study.outcomes("small", attempts)
    for number, look in enumerate(study.looks("small")):
        assert look.case.target is not None
        with pocket.open(look.case.image) as session:
            for one, outcome in zip(changes, found, strict=True):
                wanted = session.ask(look.case.question, **one)
                assert look.plain == str(wanted.plain_answer).strip()
                right = wanted.answer.strip() == look.case.answer
                x, y = int(look.case.target.x), int(look.case.target.y)
                assert outcome.right[number] == right
                assert outcome.in_mask[number] == wanted.mask[y, x]
                assert outcome.share[number] == wanted.mask.mean()


def test_what_was_answered_is_not_asked_again(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[Attempt] = [study.default, *study.crops()]
    first = study.outcomes("small", attempts)
    cache = study.bench._folder.parent  # the same folder in a later run
    again = Study(Bench(open_bundle(), cache), "dev", study.size)
    for method in ("answer", "answer_pair", "look"):
        monkeypatch.delattr(type(again.bench.model), method)
    second = again.outcomes("small", attempts)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.right, other.right)
        np.testing.assert_array_equal(one.in_box, other.in_box)


def test_crops_have_the_targets_size_and_place(study: Study) -> None:
    manifest = study.bench.manifest
    for look in study.looks("small"):
        target, (width, height) = look.case.target, look.case.image.size
        assert target is not None
        sizes = set()
        for crop in study.crops():
            mask = crop.mask(look, manifest)
            x0, y0, x1, y1 = bounding_box(mask)
            assert mask[y0:y1, x0:x1].all()
            sizes.add((x1 - x0, y1 - y0))
            if crop.place == "oracle":
                assert x0 <= target.x - target.side / 2
                assert x1 >= target.x + target.side / 2
            if crop.place == "centre":
                assert (x0 + x1, y0 + y1) == pytest.approx((width, height), abs=2)
        assert len(sizes) == 1
    general = next(look for look in study.looks("general") if look.case.target is None)
    with pytest.raises(ValueError, match="needs a target"):
        Cropped("", study.defaults, "oracle").mask(general, manifest)


def test_per_token_regularizers_are_variance_by_mean(study: Study) -> None:
    look, settings = study.looks("small")[0], study.defaults
    layers = look.general[0][0]
    added = np.maximum(layers.var(axis=0) / layers.mean(axis=0), 1e-8)
    changed = replace(look, general=(look.general[0] + added,))
    by_hand = Carved("", settings.override(contrast="on", regularizer=0.0))
    found = Carved("", settings, per_token="layers").mask(look, study.bench.manifest)
    np.testing.assert_array_equal(found, by_hand.mask(changed, study.bench.manifest))
    assert Carved("", settings, per_token="instructions").mask(look, study.bench.manifest).any()


def test_lines_part_the_questions(study: Study) -> None:
    for group in {line.group for line in LINES}:
        looks = study.looks(group)
        belonging = [line.select(looks) for line in LINES if line.group == group]
        np.testing.assert_array_equal(np.sum(belonging, axis=0), 1)


def test_one_command_writes_every_table_and_plot(tmp_path: Path) -> None:
    arguments = ["--part", "dev", "--pictures", "3", "--grid-pictures", "1", "--out", tmp_path]
    result = CliRunner().invoke(command.main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "dev"
    figures = json.loads((folder / "figures.json").read_text())
    text = (folder / "tables.md").read_text()
    tables = {name: one for name, one in figures.items() if isinstance(one, dict) and "rows" in one}
    assert len(tables) >= 14  # one more where the bundle has thresholds for the adaptive mode
    for table in tables.values():
        assert table["rows"]
        assert f"## {table['title']}" in text
    kinds = {row["questions"]: row for row in tables["kinds"]["rows"]}
    assert list(kinds) == [line.name for line in LINES]
    assert kinds["small"]["number"] == 9
    assert {row[""] for row in tables["reach"]["rows"]} <= {"met", "missed"}
    assert len(list(folder.glob("*.png"))) == 5
