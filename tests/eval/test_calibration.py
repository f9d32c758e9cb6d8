"""``--calibrate-adaptive``: the choice, what is held out of it, and the bundle that it is for."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_eval.answers import Answer, AnswerFile, identify
from carve_eval.benchmarks.files import digest
from carve_eval.benchmarks.own import OwnQuestions
from carve_eval.calibration import Evidence, candidates, choose, cross_validate
from carve_eval.cli import main
from carve_eval.methods import REGIONS
from carve_eval.thresholds import write_thresholds
from carve_models.errors import BundleError
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.support import SCENES, copied_pocket

QUESTION = "What letter is on the blue cross?"
ROWS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 6), st.sampled_from([0, 0.3, 1]), st.booleans()),
    min_size=1,
    max_size=60,
)


def evidence(rows: list[Any], images: int = 0) -> Evidence:
    names = [Path(str(number % images if images else number)) for number in range(len(rows))]
    probability, entropy, plain, refined = np.array(rows, np.float64).T
    return Evidence(probability, entropy, plain, refined, names)


def sure_are_right(count: int) -> list[tuple[float, float, float, float]]:
    """Half are sure and plainly right, half are unsure and right through CARVE alone."""
    return [(0.99, 1.0, 1, 1), (0.4, 1.0, 0, 1)] * count


@settings(deadline=None)
@given(ROWS)
def test_no_right_answer_is_lost_among_those_that_it_is_chosen_from(rows: list[Any]) -> None:
    asked = evidence(rows)
    chosen = choose(asked)
    kept = asked.keeps(chosen)
    assert asked.scores(kept).mean() >= asked.refined.mean()
    assert np.isclose(kept.mean(), chosen.kept)
    assert np.isclose(asked.scores(kept).mean(), chosen.accuracy)


def test_everything_is_kept_where_plain_is_as_good() -> None:
    assert choose(evidence([(p, 2.0, 1, 1) for p in (0.3, 0.6, 0.9)])).kept == 1


def test_the_unsure_are_refined() -> None:
    chosen = choose(evidence(sure_are_right(5)))
    assert chosen.kept == 0.5
    assert 0.4 < chosen.sure_probability <= 0.99


def test_thresholds_are_judged_by_images_that_they_were_not_chosen_from() -> None:
    good = cross_validate(evidence(sure_are_right(20), images=10))
    assert (good.kept, good.accuracy) == (0.5, 1)
    # The sure answers of one image are wrong, which the others cannot know: thresholds chosen
    # with it keep them out, and those chosen without it fail there.
    rows = [(0.9 + number % 5 / 100, 1.0, float(number % 5 != 4), 1.0) for number in range(40)]
    flattering, honest = choose(evidence(rows, images=5)), cross_validate(evidence(rows, images=5))
    assert flattering.accuracy == 1
    assert honest.accuracy < 1


def test_candidates_contain_both_ends() -> None:
    kept = {each.kept for each in candidates(evidence(sure_are_right(3)))}
    assert {0.0, 1.0} <= kept


def labelled(folder: Path, images: int = 6) -> Path:
    file = folder / "questions.jsonl"
    lines = [
        {"image": str(SCENES / f"scene-0{number}.jpg"), "question": QUESTION, "answer": "O"}
        for number in range(images)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def answer_all(bundle: Path, questions: Path, out: Path, sure: float = 0.9) -> None:
    """Write answers as a run would have: every second plain answer is sure, and right."""
    manifest = open_bundle(bundle).manifest
    asked = OwnQuestions().read(questions)
    identity = identify("jsonl", digest(asked), manifest, REGIONS, manifest.defaults)
    file = AnswerFile(out / "jsonl" / "default.jsonl", identity)
    for number, question in enumerate(asked):
        right = number % 2 == 0
        file.add(
            Answer(
                id=question.id,
                plain="O" if right else "X",
                refined="O",
                box=(0, 0, 1, 1),
                entropy=1.0,
                probability=sure if right else 0.2,
            )
        )


def calibrate(*arguments: object) -> Any:
    return CliRunner().invoke(main, [*map(str, arguments), "--calibrate-adaptive", "--limit", "0"])


def test_a_bundle_that_had_none_takes_thresholds(tmp_path: Path) -> None:
    bundle, questions = copied_pocket(tmp_path / "bundle"), labelled(tmp_path)
    path = bundle / "carve.json"
    document = json.loads(path.read_text())
    for name in ("sure_probability", "focused_entropy"):
        document["defaults"][name] = None
    path.write_text(json.dumps(document, indent=2) + "\n")
    before = path.read_text()
    answer_all(bundle, questions, tmp_path / "out")
    result = calibrate(bundle, "--jsonl", questions, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "held out" in result.output
    assert "(before: None)" in result.output
    changed = json.loads(path.read_text())
    assert changed["defaults"].pop("focused_entropy") == 1.0
    assert 0.2 < changed["defaults"].pop("sure_probability") <= 0.9
    del document["defaults"]["sure_probability"], document["defaults"]["focused_entropy"]
    assert changed == document
    assert (bundle / "carve.json.bak").read_text() == before
    vlm = Carve.load(bundle, verify=True)  # refused before: adaptive had no thresholds
    assert vlm.ask(SCENES / "scene-00.jpg", QUESTION, adaptive=True).answer
    again = calibrate(bundle, "--jsonl", questions, "--out", tmp_path / "out")
    assert again.exit_code == 0, again.output  # the answers are still those of this bundle


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--setting", "mask_top_p=0.3"], 2, r"bundle's own settings\. Add --setting default"),
        (["--setting", "crop=random"], 2, r"bundle's own settings\. Add --setting default"),
        ([], 1, r"the answers are about 3 images\. Give labelled questions about 5 or more"),
    ],
)
def test_what_cannot_be_calibrated(
    tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    bundle, questions = copied_pocket(tmp_path / "bundle"), labelled(tmp_path, images=3)
    answer_all(bundle, questions, tmp_path / "out")
    before = (bundle / "carve.json").read_bytes()
    result = calibrate(bundle, "--jsonl", questions, "--out", tmp_path / "out", *options)
    assert result.exit_code == code, result.output
    assert re.search(says, " ".join(result.output.split())), result.output
    assert (bundle / "carve.json").read_bytes() == before
    assert not (bundle / "carve.json.bak").exists()


def test_thresholds_that_would_keep_nothing_are_not_written(tmp_path: Path) -> None:
    bundle, questions = copied_pocket(tmp_path / "bundle"), labelled(tmp_path)
    answer_all(bundle, questions, tmp_path / "out", sure=0.1)
    before = (bundle / "carve.json").read_bytes()
    result = calibrate(bundle, "--jsonl", questions, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "so none were written" in " ".join(result.output.split())
    assert (bundle / "carve.json").read_bytes() == before


def test_a_bundle_that_was_replaced_meanwhile_is_left_alone(tmp_path: Path) -> None:
    bundle = open_bundle(copied_pocket(tmp_path / "bundle"))
    path = bundle.folder / "carve.json"
    path.write_text(path.read_text().replace('"mask_top_p": 0.08', '"mask_top_p": 0.09'))
    with pytest.raises(BundleError, match=r"was replaced while its questions were asked"):
        write_thresholds(bundle, 0.5, 1.0)
    assert "0.09" in path.read_text()


def test_a_folder_that_cannot_be_written_is_told_before_the_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, questions = copied_pocket(tmp_path / "bundle"), labelled(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)  # root may write
    result = calibrate(bundle, "--jsonl", questions, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "is read-only. Allow writing, or calibrate a copy" in " ".join(result.output.split())
