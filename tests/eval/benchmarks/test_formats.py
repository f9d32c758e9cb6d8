"""The published formats, in miniature, whole and damaged."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from carve_eval.benchmarks import BENCHMARKS
from carve_eval.benchmarks.benchmark import DataError, Question
from carve_eval.benchmarks.files import digest, require_complete
from tests.eval.layout import lay_out

BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
MALFORMED = yaml.safe_load(Path(__file__).with_name("malformed.yaml").read_text())


def read(name: str, folder: Path) -> list[Question]:
    questions = BY_NAME[name].read(folder)
    require_complete(questions)
    return questions


def test_vstar_as_published(tmp_path: Path) -> None:
    first, second, third = read("vstar", lay_out("vstar", tmp_path))
    assert first.prompt == (
        "What letter is on the yellow square?\n(A) T\n(B) L\n(C) X\n(D) O\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert (first.id, first.references, first.options) == ("0", ("B",), ("T", "L", "X", "O"))
    assert first.image == tmp_path / "vstar" / "direct_attributes" / "sa_1.jpg"
    assert [second.group, third.group] == ["direct_attributes", "relative_position"]
    assert len(third.options) == 2
    vstar = BY_NAME["vstar"]
    assert [vstar.score(first, answer) for answer in ("B", "L", "(A) T", "")] == [1, 1, 0, 0]


def test_vstar_from_the_files_beside_the_images(tmp_path: Path) -> None:
    folder = lay_out("vstar-files", tmp_path)
    letter, position = read("vstar", folder)
    assert letter.id == "direct_attributes/sa_1"
    assert sorted(letter.options) == ["L", "O", "T", "X"]
    right = "ABCD"[letter.options.index("L")]  # the first of the file
    assert letter.references == (right,)
    assert f"\n({right}) L\n" in letter.prompt
    assert position.image.name == "sa_3.jpg"
    assert read("vstar", folder) == [letter, position]  # shuffled the same way each time


def test_vstar_does_not_leave_the_right_option_first(tmp_path: Path) -> None:
    folder = lay_out("vstar-files", tmp_path) / "direct_attributes"
    for number in range(20):
        for suffix in (".json", ".jpg"):
            shutil.copyfile(folder / f"sa_1{suffix}", folder / f"sa_{100 + number}{suffix}")
    letters = {
        question.references
        for question in read("vstar", folder.parent)
        if len(question.options) == 4
    }
    assert letters == {("A",), ("B",), ("C",), ("D",)}


def test_textvqa(tmp_path: Path) -> None:
    first, second, *_ = read("textvqa", lay_out("textvqa", tmp_path))
    assert first.prompt == "What letter is on the pink circle?"
    assert first.image == second.image == tmp_path / "textvqa" / "train_images" / "0a1b.jpg"
    textvqa = BY_NAME["textvqa"]
    assert [textvqa.score(second, answer) for answer in ("L", "the l.", "I", "1")] == pytest.approx(
        [1, 1, 0.6, 0.3]
    )


@pytest.mark.parametrize("within", [".", "coco"])
def test_pope(tmp_path: Path, within: str) -> None:
    folder = lay_out("pope", tmp_path)
    (folder / within).mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        path.rename(folder / within / path.name)
    questions = read("pope", folder)
    assert [question.id for question in questions[:2]] == ["random/1", "random/2"]
    assert [question.group for question in questions[::4]] == ["random", "popular", "adversarial"]
    assert questions[1].prompt == "Is there a red cross in the image?"
    assert questions[1].references == ("no",)


def test_pope_as_one_array_as_its_other_data_sets_are(tmp_path: Path) -> None:
    folder = lay_out("pope", tmp_path)
    lines = read("pope", folder)
    for path in folder.glob("*.json"):
        path.write_text("[" + ",\n".join(path.read_text().splitlines()) + "]")
    assert read("pope", folder) == lines


def test_pope_refuses_two_data_sets_at_once(tmp_path: Path) -> None:
    folder = lay_out("pope", tmp_path)
    shutil.copyfile(folder / "coco_pope_random.json", folder / "gqa_pope_seem_random.json")
    with pytest.raises(DataError, match=r"gqa_pope_seem_random\.json are both there"):
        read("pope", folder)


def test_aokvqa(tmp_path: Path) -> None:
    folder = lay_out("aokvqa", tmp_path)
    choices, direct = read("aokvqa", folder), read("aokvqa-direct", folder)
    assert choices[0].prompt == (
        "What letter is on the yellow square?\nA. O\nB. T\nC. L\nD. X\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert choices[0].image.name == "000000000001.jpg"
    scores = [BY_NAME["aokvqa"].score(choices[0], answer) for answer in ("C", "L", "B", "T")]
    assert scores == [1, 1, 0, 0]
    assert [question.id for question in direct] == [
        question.id for question in choices[:2]
    ]  # without the difficult
    assert direct[1].prompt == "What letter is on the red diamond?"
    scores = [BY_NAME["aokvqa-direct"].score(direct[1], answer) for answer in ("Z", "n", "s")]
    assert scores == pytest.approx([2 / 3, 1, 0])


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case["says"][0])
def test_damaged_data_is_an_error_that_says_where(tmp_path: Path, case: dict[str, Any]) -> None:
    folder = lay_out(case["benchmark"], tmp_path)
    if "edit" in case:
        name, text, replacement = case["edit"]
        whole = (folder / name).read_text()
        assert text in whole
        (folder / name).write_text(whole.replace(text, replacement, 1))
    for name in case.get("remove", ()):
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(DataError) as caught:
        read(case["benchmark"].removesuffix("-files"), folder)
    for part in case["says"]:
        assert re.search(part, str(caught.value)), str(caught.value)


def test_the_digest_is_of_what_is_asked_not_of_the_place(tmp_path: Path) -> None:
    first = read("pope", lay_out("pope", tmp_path / "one"))
    moved = read("pope", lay_out("pope", tmp_path / "other"))
    assert digest(first) == digest(moved)
    assert digest(first[1:]) != digest(first)
