"""What an :class:`Attention` says of itself: figures by hand, maps, files, refusals."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_models.interface import FEATURE
from carve_runtime import Attention, Carve, CarveError, SchemaError, SettingsError
from tests.comparing import assert_close
from tests.support import POCKET

IMAGE, QUESTION = POCKET / "example.jpg", "What word is on the purple square?"

#: Two steps and layers; a word, 1 x 2 image tokens, a word, and the first word of the answer.
ROWS = np.array(
    [
        [[0.5, 0.2, 0.2, 0.1, 0.0], [0.4, 0.6, 0.0, 0.0, 0.0]],
        [[0.4, 0.1, 0.1, 0.2, 0.2], [0.4, 0.2, 0.2, 0.0, 0.2]],
    ],
    np.float32,
)
BY_HAND: dict[str, Any] = {
    "rows": ROWS,
    "layers": (3, 5),
    "ids": np.array([7, FEATURE, FEATURE, 8, 9]),
    "tokens": ("Look", "", "", "!", "So"),
    "words": ("So", "."),
    "answer": "So.",
    "map_tokens": np.array([1, 2]),
    "grid": (1, 2),
    "window": (0.0, 0.0, 4.0, 2.0),
    "image_size": (4, 2),
}


@pytest.fixture
def by_hand() -> Attention:
    return Attention(**BY_HAND)


@pytest.fixture(scope="module")
def asked(pocket: Carve) -> Attention:
    return pocket.attend(IMAGE, QUESTION, generate=8)


def test_rows_and_figures(by_hand: Attention) -> None:
    assert_close(by_hand.row(0, 3), ROWS[0, 0, :4], atol=1e-6)
    assert_close(by_hand.row(-1, 5), ROWS[1, 1], atol=1e-6)
    assert_close(by_hand.row(1), ROWS[1].mean(axis=0), atol=1e-6)
    assert_close(by_hand.grid_map(1, 5), [[0.2, 0.2]], atol=1e-6)
    assert_close(by_hand.map(0, 5)[:, [0, -1]], [[0.6, 0.0], [0.6, 0.0]], atol=1e-6)
    assert by_hand.over_text(0, 5) == [("Look", pytest.approx(0.4)), ("!", 0.0)]
    assert_close(by_hand.mass(), [[0.4, 0.6], [0.2, 0.4]], atol=1e-6)
    assert_close(by_hand.entropy(), [[np.log(2), 0], [np.log(2), np.log(2)]], atol=1e-6)


def test_sinks_receive_much_in_every_step(by_hand: Attention) -> None:
    """Means over layers times the length: (1.8, 1.6, 0.4, 0.2) and (2.0, 0.75, 0.75, 0.5)."""
    assert by_hand.sinks(1.7).tolist() == [0]
    assert by_hand.sinks(0.7).tolist() == [0, 1]
    assert by_hand.sinks().tolist() == []


def test_heads_are_a_further_axis() -> None:
    heads = np.stack([ROWS * 0.5, ROWS * 1.5], axis=2)
    attention = Attention(**BY_HAND | {"rows": heads})
    assert attention.heads == 2
    assert_close(attention.row(1, 5, head=1), ROWS[1, 1] * 1.5)
    assert_close(attention.row(1, 5), ROWS[1, 1], atol=1e-6)
    assert_close(attention.mass(), Attention(**BY_HAND).mass(), atol=1e-6)
    with pytest.raises(SettingsError, match=r"head is 2. Give one from 0 to 1"):
        attention.row(0, 3, head=2)


def test_one_pass_of_pocket(asked: Attention, pocket: Carve) -> None:
    plain = pocket.plain(IMAGE, QUESTION)
    assert asked.answer == plain.answer
    assert asked.words == (" A", "T", "</s>")
    result = pocket.ask(IMAGE, QUESTION)
    layers = result.settings.layers
    for step, rows in enumerate(result.question_attention):
        for row, layer in zip(rows, layers, strict=True):
            np.testing.assert_array_equal(asked.grid_map(step, layer).ravel(), row)
    for step in range(asked.steps):
        for index, layer in enumerate(asked.layers):
            text = sum(share for _, share in asked.over_text(step, layer))
            assert text + asked.mass()[step, index] == pytest.approx(1, abs=1e-5)
    assert "".join(token for token, _ in asked.over_text()).endswith(f"{QUESTION}\nASSISTANT:")


def test_one_step_unless_more_are_wanted(pocket: Carve) -> None:
    with pocket.open(IMAGE) as session:
        assert session.attend(QUESTION).steps == pocket.attend(IMAGE, QUESTION).steps == 1


def test_a_file_holds_everything(asked: Attention, tmp_path: Path) -> None:
    asked.save(tmp_path / "attention.npz")
    again = Attention.load(tmp_path / "attention.npz")
    for name, value in vars(asked).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert [path.name for path in tmp_path.iterdir()] == ["attention.npz"]


def edited(path: Path, edit: Any) -> Path:
    """Save the attention by hand, with its parts edited."""
    Attention(**BY_HAND).save(path)
    stored = dict(np.load(path))
    about = json.loads(stored["about"].tobytes())
    edit(stored, about)
    stored["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(path, **stored)
    return path


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda _, about: about.update(schema_version=2), SchemaError, "schema 2"),
        (lambda _, about: about.update(schema_version=2, heads=[]), SchemaError, "schema 2"),
        (lambda _, about: about.update(window=[0, 1]), SettingsError, "length 4"),
        (lambda _, about: about.update(layers=[1]), SettingsError, "fit together"),
        (lambda _, about: about.update(words=[]), SettingsError, "fit together"),
        (lambda _, about: about.update(grid=[1, 3]), SettingsError, "fit together"),
        (lambda _, about: about.update(image_size=[0, 2]), SettingsError, "fit together"),
        (lambda _, about: about.pop("answer"), SettingsError, "answer"),
        (lambda arrays, _: arrays.pop("ids"), SettingsError, "ids"),
        (lambda arrays, _: arrays.update(map_tokens=np.array([1, 5])), SettingsError, "fit"),
        (lambda arrays, _: arrays.update(rows=ROWS.astype(float)), SettingsError, "float64"),
        (lambda arrays, _: arrays.update(rows=ROWS[..., :4]), SettingsError, "fit together"),
    ],
)
def test_another_file_is_refused(edit: Any, error: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        Attention.load(edited(tmp_path / "a.npz", edit))


class Wicked:
    """What runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, marker = tmp_path / "a.npz", tmp_path / "marker"
    np.savez(path, about=np.array([Wicked(marker)], object), rows=ROWS, ids=ROWS, map_tokens=ROWS)
    with pytest.raises(SettingsError, match="cannot be read as attention"):
        Attention.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", None])
def test_what_is_no_file_of_attention(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be read as attention"):
        Attention.load(path)


def damaged(path: Path, name: str, edit: Any) -> None:
    """Save the attention by hand, with the bytes of one of its arrays edited."""
    Attention(**BY_HAND).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    members[f"{name}.npy"] = edit(members[f"{name}.npy"])
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.replace(b"(2, 2, 5), ", b"(9, 9, 9), "),
        lambda data: data.replace(
            b"(2, 2, 5), }" + b" " * 20, b"(8888888888, 222, 555), }" + b" " * 7
        ),
        lambda data: data.replace(b"'shape'", b"'shape\x00"),
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data[:6] + b"\x09" + data[7:],
    ],
)
def test_a_damaged_array(edit: Any, tmp_path: Path) -> None:
    """No memory is taken for what a header merely says."""
    damaged(tmp_path / "a.npz", "rows", edit)
    tracemalloc.start()
    with pytest.raises(SettingsError, match="cannot be read as attention"):
        Attention.load(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_every_byte_of_a_file(tmp_path: Path) -> None:
    """Whatever is flipped, a file is read or refused."""
    path = tmp_path / "a.npz"
    Attention(**BY_HAND).save(path)
    whole = path.read_bytes()
    outcomes: set[object] = set()
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x21]) + whole[position + 1 :])
        try:
            outcomes.add(Attention.load(path).steps)
        except CarveError as error:
            outcomes.add(type(error))
    assert SettingsError in outcomes


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Attention(**BY_HAND).save(tmp_path / "a.npz")
    monkeypatch.setattr("carve_runtime.attention.stored.MOST_BYTES", 500)
    with pytest.raises(SettingsError, match="more than 500"):
        Attention.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.row(0, 4), "layer 4 is not here, this bundle has 3, 5"),
        (lambda a: a.row(0, "3"), "layer '3' is not here"),
        (lambda a: a.row(2), "step is 2"),
        (lambda a: a.row(0.0), "step is 0.0"),
        (lambda a: a.row(0, 3, 0), "mean over heads"),
        (lambda a: a.sinks(0), r"factor is 0\. Give a value above 0"),
        (lambda a: a.save("attention.json"), "not named .npz"),
    ],
)
def test_what_is_not_there_is_refused(call: Any, message: str, by_hand: Attention) -> None:
    with pytest.raises(SettingsError, match=message):
        call(by_hand)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("word " * 2000, {}, "positions"),
        (QUESTION, {"generate": 0}, "generate is 0"),
        (QUESTION, {"generate": 10**6}, r"positions.*lower .*generate"),
        (QUESTION, {"generate": True}, "generate is True"),
    ],
)
def test_what_cannot_be_asked(text: str, options: Any, message: str, pocket: Carve) -> None:
    with pytest.raises(CarveError, match=message):
        pocket.attend(IMAGE, text, **options)
