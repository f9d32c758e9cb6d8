"""Several records at once: the same answers, in order, a few in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_runtime import Carve, SettingsError
from carve_runtime.batch import AnswerOptions, Record, answer, answer_all, share_of_cores
from tests.support import SCENES

IMAGES = sorted(SCENES.glob("*.jpg"))
QUESTION = "How many objects are there?"
PLAIN = AnswerOptions(plain=True)


def records(number: int) -> list[Record]:
    return [
        Record(image=IMAGES[i % len(IMAGES)], question=QUESTION, number=i + 1)
        for i in range(number)
    ]


def steady(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("timings", "counts")}


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_order_and_are_those_of_one_at_a_time(workers: int, pocket: Carve) -> None:
    asked = records(len(IMAGES))
    asked[1:1] = [Record(image=IMAGES[0], question="Is there a red star?")]
    asked[5:5] = [Record(image="missing.jpg", question="why?")]
    wanted = [steady(answer(pocket, record)) for record in asked]
    found = list(answer_all(pocket, asked, AnswerOptions(), workers=workers))
    assert [steady(each) for each in found] == wanted
    assert found[1]["counts"]["vision_runs"] == 1  # the refined image alone
    assert sum(each["error"] is not None for each in found) == 1


def test_many_questions_about_one_picture(pocket: Carve) -> None:
    """More than one worker asks together: each encodes the picture once."""
    with Image.open(IMAGES[0]) as picture:
        pixels = np.asarray(picture)
    questions = [f"What letter is on object {index}?" for index in range(20)]
    asked = [Record(image=pixels, question=question) for question in questions]
    found = list(answer_all(pocket, asked, PLAIN))
    assert [each["question"] for each in found] == questions
    assert sum(each["counts"]["vision_runs"] for each in found) == 0  # when it was opened


def test_records_are_taken_when_they_are_needed(pocket: Carve) -> None:
    taken = 0

    def endless() -> Iterator[Record]:
        nonlocal taken
        while True:
            taken += 1
            yield records(taken)[-1]

    answers = answer_all(pocket, endless(), PLAIN, workers=2)
    most = []
    for count in range(1, 31):
        assert next(answers)["error"] is None
        most.append(taken - count)
    assert max(most) <= 2 * 4 + 1
    answers.close()


def test_stopping_keeps_what_is_in_work(pocket: Carve, tmp_path: Path) -> None:
    """Whatever has its pictures has its answer."""
    stop, asked = Event(), records(60)
    answers = answer_all(pocket, asked, AnswerOptions(), save_dir=tmp_path, stop=stop)
    found = [next(answers)]
    stop.set()
    found += answers
    assert len(found) < 60
    assert [each["image"] for each in found] == [record.label for record in asked[: len(found)]]
    assert {each["saved"] for each in found} == set(map(str, tmp_path.iterdir()))


def test_the_pictures_of_each_record_have_a_folder(pocket: Carve, tmp_path: Path) -> None:
    odd = tmp_path / "..ä *?\n<b>.jpg"
    odd.write_bytes(IMAGES[0].read_bytes())
    asked = [*records(1), Record(image=odd, question=QUESTION, number=2)]
    asked += [Record(image=odd, question=QUESTION, number=3)]  # the same once more
    asked += [Record(image="missing.jpg", question=QUESTION, number=4)]
    found = list(answer_all(pocket, asked, AnswerOptions(), save_dir=tmp_path / "out"))
    *folders, missing = [each["saved"] for each in found]
    assert missing is None
    assert len(set(folders)) == 3
    assert set(map(str, (tmp_path / "out").iterdir())) == set(folders)
    for folder in map(Path, folders):
        assert all(letter.isalnum() or letter == "-" for letter in folder.name)
        assert folder.name.isascii()
        assert (folder / "carve.png").stat().st_size > 0
        assert (folder / "result.json").is_file()
    again = list(answer_all(pocket, asked[:1], AnswerOptions(), save_dir=tmp_path / "out"))
    assert again[0]["saved"] == folders[0]


def test_what_ends_a_batch(pocket: Carve, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        list(answer_all(pocket, records(4), AnswerOptions(), save_dir=tmp_path / "file"))
    with pytest.raises(SettingsError, match="layer 9"):
        list(answer_all(pocket, records(4), AnswerOptions(settings={"layers": [9]})))
    with pytest.raises(SettingsError, match="workers is 0"):
        next(answer_all(pocket, records(1), PLAIN, workers=0))
    with pytest.raises(SettingsError, match="no pictures to save"):
        next(answer_all(pocket, records(1), PLAIN, save_dir=tmp_path))


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    shares = {workers: share_of_cores(workers) for workers in (1, 2, 4, 9)}
    assert shares == {1: None, 2: 3, 4: 1, 9: 1}
