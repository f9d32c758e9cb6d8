"""One record to one record, answered or not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_models.settings import SettingsChanges
from carve_runtime import Carve, RecordError, SettingsError
from carve_runtime.batch import AnswerOptions, Record, answer, answer_together
from carve_runtime.prompt.request import RequestBuilder
from tests.support import SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTIONS = ("What letter is on the blue cross?", "How many objects are there?")


def steady(found: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without its times."""
    return {name: value for name, value in found.items() if name != "timings"}


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (AnswerOptions(), {}),
        (
            AnswerOptions(variant="v2", settings={"mask_top_p": 0.3}),
            {"variant": "v2", "mask_top_p": 0.3},
        ),
    ],
)
def test_an_answer_is_that_of_ask(
    options: AnswerOptions, changes: dict[str, Any], pocket: Carve
) -> None:
    record = Record(image=SCENE, question=QUESTIONS[0], columns={"id": 7})
    wanted = pocket.ask(SCENE, QUESTIONS[0], **changes).to_dict()
    found = answer(pocket, record, options)
    assert list(found) == ["id", "image", "question", *options.fields, "read_from", "error"]
    assert (found["id"], found["image"], found["error"]) == (7, str(SCENE), None)
    assert steady({name: found[name] for name in options.fields}) == steady(
        {name: wanted[name] for name in options.fields}
    )
    assert set(options.fields) == set(wanted) - {"settings"}
    assert found["timings"].keys() == wanted["timings"].keys()


def test_a_plain_answer_is_that_of_plain(pocket: Carve) -> None:
    options = AnswerOptions(plain=True, settings={"max_new_tokens": 1})
    for records in ([QUESTIONS[0]], QUESTIONS):
        asked = [Record(image=SCENE, question=question) for question in records]
        for question, (found, _) in zip(
            records, answer_together(pocket, asked, options), strict=True
        ):
            wanted = pocket.plain(SCENE, question, max_new_tokens=1)
            assert found["plain_answer"] == wanted.answer
            assert list(found) == ["image", "question", *wanted.to_dict(), "read_from", "error"]


def test_questions_about_one_picture_share_its_prefix(pocket: Carve) -> None:
    records = [Record(image=SCENE, question=question) for question in (*QUESTIONS, " ")]
    *answered, (empty, nothing) = answer_together(pocket, records)
    for question, (found, result) in zip(QUESTIONS, answered, strict=True):
        wanted = pocket.ask(SCENE, question)
        assert (found["answer"], found["bbox"]) == (wanted.answer, wanted.bbox)
        assert result is not None
        # The refined image alone: the picture itself was encoded before.
        assert found["counts"]["vision_runs"] == wanted.counts.vision_runs - 1
    assert nothing is None
    assert "question is empty" in empty["error"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_bad_picture_is_a_record(number: int, pocket: Carve, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_text("no picture")
    records = [Record(image=path, question="why?", columns={"id": i}) for i in range(number)]
    for index, (found, result) in enumerate(answer_together(pocket, records)):
        assert result is None
        assert (found.pop("id"), found.pop("image"), found.pop("question")) == (
            index,
            str(path),
            "why?",
        )
        assert "is not an image that Pillow can read. Give a JPEG" in found.pop("error")
        assert found.pop("read_from") == str(path)
        assert found == dict.fromkeys(AnswerOptions().fields)


def test_a_fault_of_ours_costs_one_answer(pocket: Carve, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(RequestBuilder, "ask", fail)
    assert answer(pocket, Record(image=SCENE, question="why?"))["error"] == "KeyError: 'lost'."


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("settings", [{"layers": [9]}, {"scout_pixels": 9}])
def test_settings_that_suit_no_record_are_raised(
    settings: SettingsChanges, number: int, pocket: Carve
) -> None:
    records = [Record(image=SCENE, question="why?")] * number
    with pytest.raises(SettingsError):
        list(answer_together(pocket, records, AnswerOptions(settings=settings)))


def test_pixels_and_bytes_have_no_name_unless_given_one(pocket: Carve) -> None:
    with Image.open(SCENE) as picture:
        pixels = np.asarray(picture)
    images: list[Any] = [pixels, SCENE.read_bytes(), Image.open(io.BytesIO(SCENE.read_bytes()))]
    wanted = answer(pocket, Record(image=SCENE, question=QUESTIONS[0], name="x"))
    assert wanted["image"] == "x"
    for image in images:
        found = answer(pocket, Record(image=image, question=QUESTIONS[0]))
        assert found["image"] is None
        assert found["answer"] == wanted["answer"]


@pytest.mark.parametrize("name", ["answer", "image", "saved", "error"])
def test_columns_do_not_hide_answers(name: str) -> None:
    with pytest.raises(RecordError, match=rf"column '{name}' .*\. Rename"):
        Record(image=SCENE, question="why?", columns={"id": 1, name: 2})


@pytest.mark.parametrize("options", [{"variant": "v1"}, {"settings": {"layers": [1]}}])
def test_plain_answers_have_no_settings_of_carve(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"says how CARVE works"):
        AnswerOptions(plain=True, **options)
