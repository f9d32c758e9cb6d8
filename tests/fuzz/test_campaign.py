"""Inputs that once failed, and a slice of the campaign for each surface; and the watch itself."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fuzz.__main__ import main
from tests.fuzz.campaign import MOST_SECONDS, trials
from tests.fuzz.child import FINE, Generated, Mixed, Stored
from tests.fuzz.mutations import damaged, edited, written
from tests.fuzz.surface import SURFACES

CORPUS = Path(__file__).parent / "corpus"
#: Inputs of each surface, some four seconds of them.
SLICE = {
    "images": 60,
    "clips": 60,
    "pipes": 300,
    "arrays": 150,
    "manifest": 30,
    "tokenizer": 100,
    "graphs": 10,
    "engines": 450,
    "settings": 60,
    "questions": 15,
    "records": 300,
    "cli": 30,
    "c_calls": 40,
    "c_files": 15,
    "js_files": 15,
    "js_calls": 60,
    "server": 15,
    "checkpoints": 6,
}
SEED = 1


def test_every_surface_has_a_slice() -> None:
    assert set(SLICE) == set(SURFACES) >= {folder.name for folder in CORPUS.iterdir()}


@pytest.mark.parametrize("name", SURFACES)
def test_slice(name: str, tmp_path: Path) -> None:
    """Of the corpus every input, and some new ones."""
    stored, number = tuple(sorted((CORPUS / name).glob("*"))), SLICE[name]
    source = Mixed(Stored(stored), Generated(SEED, batch=number))
    tried = list(trials(name, source, tmp_path / "work", stop=len(stored) + number))
    assert len(tried) == len(stored) + number
    names = [*(file.name for file in stored), *(f"input {index}" for index in range(number))]
    failed = [
        f"{name}: {trial.outcome}: {trial.message}"
        for name, trial in zip(names, tried, strict=True)
        if trial.outcome not in FINE
    ]
    assert not failed, "\n".join(failed)
    assert {trial.outcome for trial in tried} == set(FINE), "all alike: nothing was tried"


def watched(what: str, tmp_path: Path) -> list[str]:
    """Return the outcomes of inputs among which one does what it should not."""
    files = list[Path]()
    for number, text in enumerate(["ok", what, "refused", "ok"]):
        files.append(tmp_path / str(number))
        files[-1].write_text(text)
    patience = 2 if what == "hang" else MOST_SECONDS
    source = Stored(tuple(files))
    tried = trials("_misbehaving", source, tmp_path / "work", most_seconds=patience)
    return [trial.outcome for trial in tried]


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("crash", "crash"),
        ("hang", "hang"),
        ("memory", "memory"),
        ("no memory", "memory"),
        ("untyped", "untyped error"),
        ("panic", "untyped error"),
        ("exit", "crash"),
    ],
)
def test_the_watch_goes_on(what: str, outcome: str, tmp_path: Path) -> None:
    assert watched(what, tmp_path) == ["answered", outcome, "typed error", "answered"]


def test_a_hang_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("hang")
    source = Stored((tmp_path / "input",))
    (trial,) = trials("_misbehaving", source, tmp_path / "work", most_seconds=2)
    assert "_misbehaving.py" in trial.message
    assert trial.data == b"hang"


def test_a_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    from tests.fuzz.surface import prepare

    surface = prepare("engines", tmp_path / "surface")
    first, again, other = (
        list(islice(Generated(seed).inputs(surface, start), 30))
        for seed, start in ((3, 240), (3, 240), (4, 240))
    )
    assert first == again != other
    assert list(islice(Generated(3).inputs(surface, 250), 20)) == first[10:]


def test_an_interrupted_campaign_goes_on(tmp_path: Path) -> None:
    def run(inputs: int) -> str:
        arguments = ["--surface", "engines", "--inputs", str(inputs), "--out", str(tmp_path)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    run(20)
    before = (tmp_path / "0" / "engines.json").read_bytes()
    assert sum(json.loads(before)["outcomes"].values()) == 20
    run(20)
    assert (tmp_path / "0" / "engines.json").read_bytes() == before
    assert " 30 " in run(30)


def test_edits() -> None:
    document = {"a": [1, {"b": 2}], "c": "x"}
    assert edited(document, [[["a", 1, "b"], "replace", 7]]) == {"a": [1, {"b": 7}], "c": "x"}
    assert edited(document, [[["a"], "remove", None], [["a", 0], "nest", None]]) == {"c": "x"}
    assert edited(document, [[["c"], "rename", "d"]]) == {"a": [1, {"b": 2}], "d": "x"}
    assert document == {"a": [1, {"b": 2}], "c": "x"}
    assert b"[[[[" in written(edited(document, [[["c"], "deep", None]]))
    assert damaged(b"abcdef", [["cut", 3, None]]) == b"abc"
    assert damaged(b"abcdef", [["flip", 0, 0], ["remove", 1, 2], ["insert", 1, "00"]]) == (
        b"`\0def"
    )
    assert damaged(b"abcdef", [["number", 4, [0x7FFF, 4, True]]]) == b"abcd\0\0"
