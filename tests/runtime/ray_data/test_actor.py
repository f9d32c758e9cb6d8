"""What one actor makes of a table of questions, without a cluster around it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from carve_models.errors import HubError, RecordError, SettingsError
from carve_runtime import Carve
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.batch import AnswerOptions
from carve_runtime.ray_data import CarveActor, Pool, ask_dataset
from tests.runtime.cli.commands import QUESTION
from tests.support import POCKET, SCENES

SCENE = "scene-00.jpg"
DATA = (SCENES / SCENE).read_bytes()
#: What a table may have for the picture, and what the answer calls it.
PICTURES = {
    "path": (SCENE, SCENE),
    "whole path": (str(SCENES / SCENE), str(SCENES / SCENE)),
    "bytes": (DATA, None),
    "bytes and path": ({"bytes": DATA, "path": "a.jpg"}, "a.jpg"),
    "path in a struct": ({"bytes": None, "path": SCENE}, SCENE),
}


@cache
def actor() -> CarveActor:
    return CarveActor(str(POCKET), pictures=str(SCENES))


def asked(actor: CarveActor, images: list[Any], questions: list[Any]) -> pa.Table:
    places = list(range(len(images)))
    return actor(pa.table({"id": places, "image": images, "question": questions}))


def asked_with(**options: Any) -> pa.Table:
    chosen = CarveActor(str(POCKET), AnswerOptions(**options), pictures=str(SCENES))
    return asked(chosen, [SCENE], [QUESTION])


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_in_every_form(kind: str, pocket: Carve) -> None:
    image, name = PICTURES[kind]
    (row,) = asked(actor(), [image], [QUESTION]).to_pylist()
    result = pocket.ask(SCENES / SCENE, QUESTION)
    assert (row["image"], row["answer"]) == (name, result.answer)
    assert (tuple(row["bbox"]), row["error"]) == (result.bbox, None)


def test_questions_about_one_picture_share_its_encoding() -> None:
    rows = asked(
        actor(), ["scene-01.jpg", "scene-01.jpg", "scene-02.jpg"], [QUESTION] * 3
    ).to_pylist()
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert [row["counts"]["vision_runs"] for row in rows] == [
        1,
        1,
        2,
    ]  # the first is the final pass alone
    assert rows[2]["timings"]["decode"] is not None


def test_a_bundle_by_its_name(pocket: Carve) -> None:
    loaded = CarveActor("default", pictures=str(SCENES))
    (row,) = asked(loaded, [SCENE], [QUESTION]).to_pylist()
    assert row["answer"] == pocket.ask(SCENES / SCENE, QUESTION).answer
    with pytest.raises(HubError, match="there is no folder some--one/x"):  # the hub's own check
        CarveActor("some--one/x")
    with pytest.raises(SettingsError, match="the revision is 'v1', and default is no repository"):
        CarveActor(revision="v1")


BAD = {
    "no file": ("gone.jpg", QUESTION, "gone.jpg"),
    "no picture": (b"no picture", QUESTION, "not an image"),
    "nothing": (None, QUESTION, "image is 'NoneType'"),
    "empty struct": ({"bytes": None, "path": None}, QUESTION, "image is 'NoneType'"),
    "no question": (SCENE, None, "question is 'NoneType'"),
    "no text": (SCENE, 5, "question is 'int'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_a_record_with_an_error(name: str) -> None:
    image, question, message = BAD[name]
    bad, good = asked(actor(), [image], [question]), asked(actor(), [SCENE], [QUESTION])
    assert message in bad["error"][0].as_py()
    assert bad["answer"][0].as_py() is bad["timings"][0].as_py() is None
    own = ["id", "question"]
    assert bad.drop_columns(own).schema == good.drop_columns(own).schema  # one file has both


def test_plain_answers_have_no_box(pocket: Carve) -> None:
    table = asked_with(plain=True)
    assert "bbox" not in table.column_names
    assert table["plain_answer"][0].as_py() == pocket.plain(SCENES / SCENE, QUESTION).answer


def test_settings_reach_the_bundle() -> None:
    (row,) = asked_with(variant="v1", settings={"max_regions": 1}).to_pylist()
    (other,) = asked_with(settings={"mask_top_p": 1.0}).to_pylist()
    assert row["mask_share"] < other["mask_share"]


@pytest.mark.parametrize("early_exit", [False, True])
def test_every_stage_has_a_column(early_exit: bool, pocket: Carve) -> None:
    result = pocket.ask(SCENES / SCENE, QUESTION, early_exit=early_exit)
    (row,) = asked_with(settings={"early_exit": early_exit}).to_pylist()
    assert {name for name, time in row["timings"].items() if time} == set(result.timings)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [SCENE], "question": [QUESTION]}, "no column 'image'; its columns are pict"),
        ({"image": [SCENE]}, "no column 'question'"),
        ({"image": [SCENE], "question": [QUESTION], "answer": ["AT"]}, "the column 'answer'"),
    ],
)
def test_columns_that_do_not_fit(columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        CarveActor(str(POCKET))(pa.table(columns))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actors": 0}, "actors is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_cpus": -1}, "num_cpus is -1"),
        ({"num_gpus": float("nan")}, "num_gpus is nan"),
    ],
)
def test_pools_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Pool(**options)


@pytest.mark.parametrize("backend", [None, BackendSettings(provider="cpu", threads=2)])
def test_gpus_for_a_backend_that_uses_none(backend: BackendSettings | None) -> None:
    with pytest.raises(SettingsError, match="computes on the CPU"):
        ask_dataset(None, pool=Pool(num_gpus=1), backend=backend)
