"""The benchmark asks as the product does, goes on where it stopped, and counts what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from carve_runtime.method.geometry import bounding_box
from carve_runtime.method.maps import METHODS
from tests.support import ROOT
from tools.research.quality import __main__ as command
from tools.research.quality import methods
from tools.research.quality.attempts import Attempt, Carved, Cropped
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.study import AUTOMATIC, CATEGORIES, Size, Study
from tools.shared.report import Report

CACHE = "cache"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    cache = tmp_path_factory.mktemp(CACHE)
    return Study(CachedBundle(open_bundle(), cache), "dev", Size(pictures=2, grid=1))


def test_it_answers_as_the_product_does(study: Study, pocket: Carve) -> None:
    settings = study.defaults
    changes: list[dict[str, Any]] = [
        {},
        {"contrast": "off"},
        {"method": "rollout", "steps": "all", "layers": (0, 1, 2)},
        {"method": "agreement"},
        {"final_prompt": "refined"},
        {"variant": "v4", "layers": (1, 2)},
        {"adaptive": True, "sure_probability": 0.5, "focused_entropy": 9.0},
        AUTOMATIC,
    ]
    attempts = [Carved(str(change), settings.override(**change)) for change in changes]
    outcomes = study.outcomes("small", attempts)
    for number, observation in enumerate(study.observations("small")):
        case = observation.case
        assert case.target is not None
        with pocket.open(case.image) as session:
            for change, outcome in zip(changes, outcomes, strict=True):
                expected = session.ask(case.question, **change)
                assert observation.plain == str(expected.plain_answer).strip()
                right = expected.answer.strip() == case.answer
                x, y = int(case.target.x), int(case.target.y)
                assert outcome.right[number] == right
                assert outcome.in_mask[number] == expected.mask[y, x]
                assert outcome.share[number] == expected.mask.mean()


def test_what_was_answered_is_not_asked_again(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[Attempt] = [study.default, *study.crops()]
    first = study.outcomes("small", attempts)
    cache = study.bundle.folder.parent  # the same folder in a later run
    again = Study(CachedBundle(open_bundle(), cache), "dev", study.size)
    for method in ("answer", "encode_images", "encode_refined"):
        monkeypatch.delattr(type(again.bundle.model), method)
    second = again.outcomes("small", attempts)
    for left, right in zip(first, second, strict=True):
        np.testing.assert_array_equal(left.right, right.right)
        np.testing.assert_array_equal(left.in_box, right.in_box)


def test_crops_have_the_targets_size_and_place(study: Study) -> None:
    manifest = study.bundle.manifest
    for observation in study.observations("small"):
        target, (width, height) = observation.case.target, observation.image.size
        assert target is not None
        sizes = set()
        for crop in study.crops():
            mask = crop.mask(observation, manifest)
            x0, y0, x1, y1 = bounding_box(mask)
            assert mask[y0:y1, x0:x1].all()
            sizes.add((x1 - x0, y1 - y0))
            if crop.place == "oracle":
                assert x0 <= target.x - target.side / 2
                assert x1 >= target.x + target.side / 2
            if crop.place == "centre":
                assert (x0 + x1, y0 + y1) == pytest.approx((width, height), abs=2)
        assert len(sizes) == 1
    general = next(each for each in study.observations("general") if each.case.target is None)
    with pytest.raises(ValueError, match="needs a target"):
        Cropped("", study.defaults, "oracle").mask(general, manifest)


def test_per_token_regularizers_are_variance_by_mean(study: Study) -> None:
    observation, settings = study.observations("small")[0], study.defaults
    manifest, layers = study.bundle.manifest, observation.general[0][0]
    added = np.maximum(layers.var(axis=0) / layers.mean(axis=0), 1e-8)
    changed = replace(observation, general=(observation.general[0] + added,))
    by_hand = Carved("", settings.override(contrast="on", regularizer=0.0))
    actual = Carved("", settings, per_token="layers").mask(observation, manifest)
    np.testing.assert_array_equal(actual, by_hand.mask(changed, manifest))
    assert Carved("", settings, per_token="instructions").mask(observation, manifest).any()


def test_the_table_of_methods_has_them_all(study: Study) -> None:
    table = methods.compare(study, "small")
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert {name.split(",")[0] for name in rows} == set(METHODS)
    assert rows["contrast"] == rows["sharpest_layer"]  # the bundle reads one layer
    assert rows["contrast"][2] == "0 : 0"
    assert rows["question"] == rows["rollout"]
    assert "6 questions about 2 pictures" in table.note


def test_categories_part_the_questions(study: Study) -> None:
    for group in {category.group for category in CATEGORIES}:
        observations = study.observations(group)
        belonging = [
            category.select(observations) for category in CATEGORIES if category.group == group
        ]
        np.testing.assert_array_equal(np.sum(belonging, axis=0), 1)


def test_no_pytorch_is_needed() -> None:
    heavy = {"torch", "transformers", "onnx", "carve_export"}
    code = f"import sys, tools.research.quality.__main__; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


def test_one_command_writes_every_table_and_plot(tmp_path: Path) -> None:
    arguments = ["--part", "dev", "--pictures", "3", "--grid-pictures", "1", "--out", tmp_path]
    result = CliRunner().invoke(command.main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "dev"
    report = msgspec.json.decode((folder / "figures.json").read_bytes(), type=Report)
    text = (folder / "tables.md").read_text()
    assert len(report.tables) >= 14  # one more where there are thresholds for the adaptive mode
    for table in report.tables:
        assert table.rows
        assert table.markdown() in text
    kinds = report.table("kinds")
    assert [row[0] for row in kinds.rows] == [category.name for category in CATEGORIES]
    assert kinds.cell("small", "number") == 9
    assert {row[-1] for row in report.table("goals").rows} <= {"met", "missed"}
    assert len(list(folder.glob("*.png"))) == 5
