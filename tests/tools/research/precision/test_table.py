"""From a bundle to a table, with one question and a choice or two. No time is judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from carve_runtime.bundle import open_bundle
from tests.support import POCKET, SCENES
from tools.research.pocket_l.pointing.questions import scene_questions
from tools.research.precision.__main__ import main
from tools.research.precision.baselines import Baseline
from tools.research.precision.measure import Extent, Measurer
from tools.research.precision.pace import pace
from tools.research.precision.table import language_table

EXTENT = Extent(positions=20, rounds=1, window=16)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (entry, *_) = json.loads((SCENES / "questions.json").read_text())
    path = tmp_path_factory.mktemp("calibration") / "one.json"
    path.write_text(json.dumps([{**entry, "image": str(SCENES / entry["image"])}]))
    return path


def test_rows_are_measured_once(calibration: Path, tmp_path: Path) -> None:
    choices = ((), ("decoder=int8",))
    baseline = Baseline(
        open_bundle(POCKET, verify=False),
        tmp_path,
        calibration,
        choices[1:],
        calibration,
        "What word is on the red square? Is there a blue star?",
        list(scene_questions("dev", 1, 1)),
    )
    rows = [Measurer(baseline, EXTENT).row(choice) for choice in choices]
    float32, lowered = (row.language for row in rows)
    assert float32 is not None
    assert lowered is not None
    assert (float32.next_token, float32.attention.mask_overlap) == (1, 1)
    assert float32.attention.least_layer == pytest.approx(1)
    assert lowered.attention.attention < 1
    assert lowered.perplexity == pytest.approx(float32.perplexity, rel=0.2)
    assert lowered.perplexity != float32.perplexity
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")}
    stages: list[str] = []
    assert [Measurer(baseline, EXTENT).row(choice) for choice in choices] == rows
    assert {file: file.stat().st_mtime_ns for file in files} == files
    shorter = Measurer(baseline, replace(EXTENT, positions=10)).row(choices[1], stages.append)
    assert shorter.paces is not None
    assert shorter.paces.positions == 10
    assert not [stage for stage in stages if "lower" in stage]  # the bundle is there
    assert len([*tmp_path.rglob("*.json")]) == len(files) + 1
    document = language_table(rows).markdown()
    assert "| float32 | 1.00 |" in document
    assert "| decoder=int8 | " in document
    assert f"| {float32.perplexity:.2f} | 100.0% | 1.000 | 1.000 |" in document


def test_a_prompt_has_room_for_one_token_more() -> None:
    bundle = open_bundle(POCKET, verify=False)
    limit = bundle.manifest.decoder.context_length
    assert pace(bundle, bundle, 2 * limit, 1).positions == limit - 1


def test_the_command_from_end_to_end(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--quick", "--work", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    document = json.loads((tmp_path / "quick" / "pocket.json").read_text())
    assert document["machine"]["cores"]
    assert [row["choice"] for row in document["rows"]] == [[], ["fp16"]]
    float32, lowered = (row["quality"] for row in document["rows"])
    assert lowered["questions"] == float32["questions"] == 3
    assert (float32["answer_agreement"], float32["mask_overlap"]) == (1, 1)
    assert lowered["usual_right"] == float32["right"]
    assert lowered["usual_pointing"] == float32["pointing"]
    assert "| fp16 | 0.5" in (tmp_path / "quick" / "pocket.md").read_text()
    assert "fp16" in done.stdout
