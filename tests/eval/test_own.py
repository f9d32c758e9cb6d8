"""Questions of one's own, and the rows that come of them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from carve_eval.benchmarks.benchmark import DataError
from carve_eval.benchmarks.files import require_complete
from carve_eval.benchmarks.own import OwnQuestions
from carve_eval.cli import main
from carve_eval.methods import CROPS
from carve_runtime.method.maps import METHODS
from tests.support import SCENES

OWN = OwnQuestions()
READ = {"image": "scene.jpg", "question": "What letter is on the blue cross?", "answer": "O"}
CHOOSE = {
    "id": "choice",
    "image": "scene.jpg",
    "question": "What letter is on the blue diamond?",
    "options": ["O", "T", "U"],
    "answers": ["T"],
    "category": "choices [/b]",  # no markup of the terminal's
}
PLACE = READ | {"category": "places", "box": [50, 175, 100, 225], "note": "left alone"}


def write(folder: Path, *lines: Any) -> Path:
    file = folder / "questions.jsonl"
    (folder / "scene.jpg").write_bytes((SCENES / "scene-00.jpg").read_bytes())
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n")
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["default", *map(str, arguments)])


def test_a_file_of_every_kind_of_question(tmp_path: Path) -> None:
    read, choose, place = OWN.read(write(tmp_path, READ, CHOOSE, PLACE))
    assert [read.id, choose.id, place.id] == ["1", "choice", "3"]
    assert read.image == tmp_path / "scene.jpg"
    assert choose.prompt.splitlines()[1:] == [
        *("A. O", "B. T", "C. U"),
        "Answer with the option's letter from the given choices directly.",
    ]
    assert (choose.references, choose.group) == (("T",), "choices [/b]")
    assert place.box == (50, 175, 100, 225)
    assert [OWN.score(choose, answer) for answer in ("B", "T", "A", "")] == [1, 1, 0, 0]
    assert [OWN.score(read, answer) for answer in ("O", "the o.", "0", "")] == [1, 1, 0, 0]
    assert OWN.measures([read, choose, choose], ["O", "B", "Tea"]) == {"unnamed": 0.5}
    assert OWN.measures([read], ["O"]) == {}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"line 1 of .*questions\.jsonl is malformed"),
        ("\n", r"holds no questions"),
        ({"image": "scene.jpg", "answer": "O"}, r"line 1 of .* `question`"),
        ({"image": "scene.jpg", "question": "Q?"}, r"'1' of .* needs either answer or answers"),
        (READ | {"answers": ["O"]}, r"'1' of .* needs either answer or answers"),
        (READ | {"answers": [], "answer": None}, r"line 1 of .* length >= 1"),
        (READ | {"question": " \t"}, r"'1' of .* is empty"),
        (READ | {"options": ["A"]}, r"line 1 of .* length >= 2"),
        (READ | {"options": ["A", "B"]}, r"the answer 'O', which is none of its options"),
        (READ | {"box": [9, 0, 3, 4]}, r"the box \[9\.0, .*\], which is not \[x0, y0, x1, y1\]"),
        (READ | {"box": [0, 0, 3]}, r"line 1 of .*box"),
        (READ | {"image": "a\0.jpg"}, r"'1' of .* has the image 'a\\x00\.jpg', which is no path"),
        (9999 * '{"image":', r"line 1 of .* is malformed"),
        ('{"image": "\\ud83d"}', r"line 1 of .* is malformed"),
        (READ | {"image": "no.jpg"}, r"no\.jpg is missing"),
    ],
)
def test_what_is_wrong_with_a_line(tmp_path: Path, line: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        require_complete(OWN.read(write(tmp_path, line)), OWN.remedy)
    assert "Mend the file" in str(caught.value)


def test_a_name_that_occurs_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'choice' occurs twice\. Mend the file"):
        require_complete(OWN.read(write(tmp_path, CHOOSE, CHOOSE)), OWN.remedy)


def test_every_method_answers_and_every_answer_is_a_row(tmp_path: Path) -> None:
    file, out = write(tmp_path, READ, CHOOSE, PLACE), tmp_path / "out"
    settings = ["default", *(f"method={name}" for name in METHODS)]
    squares = [name for name in METHODS if name not in ("rollout", "agreement")]
    settings += [f"crop=square method={name} layers=1" for name in squares]
    settings += ["crop=random", "crop=centre mask_top_p=0.25"]
    tables = [tmp_path / "rows.jsonl", tmp_path / "rows.csv"]
    options = [part for setting in settings for part in ("--setting", setting)]
    options += [str(part) for table in tables for part in ("--rows", table)]
    result = run("--jsonl", file, "--out", out, *options)
    assert result.exit_code == 0, result.output

    rows = [json.loads(line) for line in tables[0].read_text().splitlines()]
    assert [row["setting"] for row in rows] == [each for each in settings for _ in range(3)]
    assert {(row["id"], *row["answers"]) for row in rows} == {
        *(("1", "O"), ("choice", "T"), ("3", "O"))
    }
    questions = {question.id: question for question in OWN.read(file)}
    for row in rows:
        for way in ("plain", "refined"):
            assert row[f"{way}_score"] == OWN.score(questions[row["id"]], row[way])
    plain = {(row["id"], row["plain"]) for row in rows}
    assert len(plain) == len(questions)  # the plain answer does not depend on the method
    assert {tuple(row["box"]) for row in rows if "centre" in row["setting"]} == {
        (160, 160, 480, 480)
    }
    with tables[1].open(newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert [row["refined"] for row in listed] == [row["refined"] for row in rows]
    assert json.loads(listed[1]["options"]) == CHOOSE["options"]

    document = json.loads((out / "figures.json").read_text())
    compared = {row["setting"]: row for row in document["comparisons"]}
    assert list(compared) == settings[1:]
    scores = {s: [row["refined_score"] for row in rows if row["setting"] == s] for s in settings}
    for setting, row in compared.items():
        worse, better = (
            sum(a > b for a, b in zip(scores[one], scores[two], strict=True))
            for one, two in ((settings[0], setting), (setting, settings[0]))
        )
        assert (row["reference"], row["questions"]) == (settings[0], 3)
        assert (row["only_reference"], row["only_setting"]) == (worse, better)
    assert "refined answers compared with default" in result.output
    assert "choices [/b]" in result.output
    whole = next(row for row in document["figures"] if not row["group"])
    assert whole["refined_measures"]["pointing"] in (0, 1)
    assert list(whole["plain_measures"]) == ["unnamed"]


def test_every_crop_and_method_is_documented() -> None:
    docs = SCENES.parents[1] / "docs"
    for name in CROPS:
        assert f"`crop={name}" in (docs / "eval.md").read_text()
    for name in METHODS:
        assert f"| `{name}` |" in (docs / "method.md").read_text()


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    result = run("--jsonl", tmp_path)
    assert result.exit_code == 2
    assert re.search(r"is a directory", " ".join(result.output.split()))
