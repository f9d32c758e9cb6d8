"""From a bundle to a table, with one question and a choice or two. No time is judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from carve_runtime.bundle import open_bundle
from tests.support import POCKET, SCENES
from tools.research.pocket_l.questions import scene_questions
from tools.research.precision.__main__ import main
from tools.research.precision.measure import Extent, Measurer
from tools.research.precision.pace import pace
from tools.research.precision.subjects import Subject
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
    subject = Subject(
        open_bundle(POCKET, verify=False),
        tmp_path,
        calibration,
        choices[1:],
        calibration,
        "What word is on the red square? Is there a blue star?",
        list(scene_questions("dev", 1, 1)),
    )
    rows = [Measurer(subject, EXTENT).row(choice) for choice in choices]
    usual, lowered = (row.language for row in rows)
    assert usual is not None
    assert lowered is not None
    assert (usual.next_token, usual.looks.mask_overlap) == (1, 1)
    assert usual.looks.least_layer == pytest.approx(1)
    assert lowered.looks.attention < 1
    assert lowered.perplexity == pytest.approx(usual.perplexity, rel=0.2)
    assert lowered.perplexity != usual.perplexity
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")}
    stages: list[str] = []
    assert [Measurer(subject, EXTENT).row(choice) for choice in choices] == rows
    assert {file: file.stat().st_mtime_ns for file in files} == files
    other = Measurer(subject, replace(EXTENT, positions=10)).row(choices[1], stages.append)
    assert other.paces is not None
    assert other.paces.positions == 10
    assert not [stage for stage in stages if "lower" in stage]  # the bundle is there
    assert len([*tmp_path.rglob("*.json")]) == len(files) + 1
    document = language_table(rows).markdown()
    assert "| float32 | 1.00 |" in document
    assert "| decoder=int8 | " in document
    assert f"| {usual.perplexity:.2f} | 100.0% | 1.000 | 1.000 |" in document


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
    usual, lowered = (row["quality"] for row in document["rows"])
    assert lowered["questions"] == usual["questions"] == 3
    assert (usual["answer_agreement"], usual["mask_overlap"]) == (1, 1)
    assert lowered["usual_right"] == usual["right"]
    assert lowered["usual_pointing"] == usual["pointing"]
    assert "| fp16 | 0.5" in (tmp_path / "quick" / "pocket.md").read_text()
    assert "fp16" in done.stdout
