"""What a batch is asked about: which files an input stands for, and what a line of one says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from carve_runtime import RecordError
from carve_runtime.batch import Inputs

PICTURES = ("a.jpg", "b.PNG", "deep/c.webp", ".hidden.jpg", ".cache/d.jpg", "notes.txt", "list.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of files that nobody opens, the working directory above it."""
    for name in PICTURES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


LISTED: list[tuple[list[str], list[str]]] = [
    (["photos"], ["photos/a.jpg", "photos/b.PNG", "photos/deep/c.webp"]),
    (["photos/b.PNG", "photos/a.jpg"], ["photos/b.PNG", "photos/a.jpg"]),
    (["photos/notes.txt"], ["photos/notes.txt"]),  # who names a file means it
    (["photos/*.[jP]*"], ["photos/a.jpg", "photos/b.PNG"]),
    (["photos/**/*.webp"], ["photos/deep/c.webp"]),
    (["photos/?.*", "photos/deep"], ["photos/a.jpg", "photos/b.PNG", "photos/deep/c.webp"]),
]


@pytest.mark.parametrize(("inputs", "names"), LISTED, ids=lambda value: "+".join(value))
def test_the_pictures_of_an_input(inputs: list[str], names: list[str], folder: Path) -> None:
    records = list(Inputs(inputs, ["one?", "two?"]))
    assert [(record.name, record.question) for record in records] == [
        (name, question) for name in names for question in ("one?", "two?")
    ]
    assert [record.image for record in records[::2]] == [Path(name) for name in names]
    assert [record.number for record in records] == list(range(1, len(records) + 1))


Rows = list[tuple[str, str, dict[str, Any]]]
READ: dict[str, tuple[str, bytes, Rows]] = {
    "JSON Lines": (
        "list.jsonl",
        b'{"image": "a.jpg", "question": "why?", "id": 7, "tags": ["x", null]}\n'
        b'\n{"image": "/b.jpg"}\n{"question": "", "image": "c"}',
        [
            ("a.jpg", "why?", {"id": 7, "tags": ["x", None]}),
            ("/b.jpg", "else?", {}),
            ("c", "else?", {}),
        ],
    ),
    "CSV": (
        "list.CSV",
        '\ufeffid,question,image\n7,"why,\n""so""?",ä.jpg\n\n8,,b.jpg\n'.encode(),
        [("ä.jpg", 'why,\n"so"?', {"id": "7"}), ("b.jpg", "else?", {"id": "8"})],
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_records(kind: str, tmp_path: Path) -> None:
    name, content, rows = READ[kind]
    (tmp_path / name).write_bytes(content)
    inputs = Inputs([tmp_path / name], ["else?"])
    for _ in range(2):  # it can be gone through again
        records = list(inputs)
        assert [(r.name, r.question, r.columns) for r in records] == rows
        assert [record.image for record in records] == [tmp_path / name for name, *_ in rows]


def test_a_stream_has_records_and_paths() -> None:
    lines = b'{"image": "a.jpg", "question": "why?", "id": 1}\nphotos/b c.jpg\r\n\n\xff.jpg\n'
    inputs = Inputs([io.BytesIO(lines)], ["else?"])
    for _ in range(2):
        records = list(inputs)
        assert [(r.name, r.question) for r in records] == [
            ("a.jpg", "why?"),
            ("photos/b c.jpg", "else?"),
            ("\ufffd.jpg", "else?"),
        ]
        assert records[0].columns == {"id": 1}
        assert records[2].image == Path("\udcff.jpg")  # the file's own name


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "broken JSON": ("a.jsonl", b'{"image": "x", "question": "y"}\n{"image', r"line 2 is not JSON"),
    "not UTF-8": ("a.jsonl", b'{"image": "\xff"}', r"line 1 is not JSON"),
    "nested": ("a.jsonl", b"[" * 99999, r"line 1 is not JSON"),
    "a list": ("a.jsonl", b'["a.jpg", "why?"]', r"line 1 is no JSON object, but \['a"),
    "no image": ("a.jsonl", b'\n{"picture": "x"}', r'line 2 has as "image" None\. Give each'),
    "an image of pixels": ("a.jsonl", b'{"image": [[0]]}', r'has as "image" \[\[0\]\]'),
    "a question of numbers": (
        "a.jsonl",
        b'{"image": "x", "question": 7}',
        r'line 1 has as "question" 7',
    ),
    "no question": ("a.ndjson", b'{"image": "x"}', r"line 1 has no question\. Give one with"),
    "a column of ours": (
        "a.jsonl",
        b'{"image": "x", "question": "y", "answer": "z"}',
        r"line 1: the column 'answer' has the name of a field of the answers\. Rename",
    ),
    "CSV without image": ("a.csv", b"file,question\nx,y\n", r'no column "image", but \[\'file'),
    "CSV with semicolons": ("a.csv", b"image;question\nx;y\n", r"separated by commas"),
    "CSV with a name twice": ("a.csv", b"image,q,q\n", r"two columns 'q'\. Rename one"),
    "CSV with more cells": (
        "a.csv",
        b"image,question\nx,y\nx,why, oh why?\n",
        r"line 3 has 3 cells, the first line 2\. Put cells",
    ),
    "CSV with an open quote": ("a.csv", b'image,question\nx,"y\n', r"cannot be read beyond line"),
    "CSV not UTF-8": (
        "a.csv",
        b"image,question\nx,\xff\n",
        r"cannot be read beyond line 0: .*utf-8",
    ),
    "CSV of nothing": ("a.csv", b"", r'names no column "image", but \[\]'),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_refused(what: str, tmp_path: Path) -> None:
    name, content, message = REFUSED[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError, match=rf"{name}.*{message}"):
        list(Inputs([tmp_path / name]))


NO_INPUT = {
    "photos/deep/*.jpg": r"\*\.jpg fits no picture and no file of records\. Check the path",
    "photos/nothing": r"there is no file or folder photos/nothing\. Check",
    "photos/empty": r"photos/empty has no pictures in it or below\. Check",
    "a\0b": "no file or folder a",
}


@pytest.mark.parametrize("given", NO_INPUT)
def test_an_input_without_pictures(given: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(RecordError, match=NO_INPUT[given]):
        Inputs([given], ["why?"])


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"image": "x", "question": "y"}')
    inputs = Inputs([path])
    path.unlink()
    with pytest.raises(RecordError, match=r"a\.jsonl cannot be read \(No such file"):
        list(inputs)


def test_other_refusals(folder: Path) -> None:
    with pytest.raises(RecordError, match="standard input is empty"):
        Inputs([io.BytesIO()])
    with pytest.raises(RecordError, match=r"question 'why\\udcff' is not UTF-8"):
        Inputs(["photos"], ["why\udcff"])
    with pytest.raises(RecordError, match=r"photos/a\.jpg has no question"):
        list(Inputs(["photos"]))


def test_what_is_written_is_no_input(folder: Path) -> None:
    listed = Inputs([folder / "list.csv", folder / "deep"])
    listed.require_apart(folder / "answers.jsonl")
    with pytest.raises(RecordError, match=r"both an input and the output"):
        listed.require_apart(folder / "deep" / ".." / "list.csv")
    listed.require_outside(folder / "out")
    for inside in ("deep", "deep/out"):
        with pytest.raises(RecordError, match=r"lies in .*deep: the pictures there would be"):
            listed.require_outside(folder / inside)


PATTERNS = [
    ("photos/**/*", "photos/out", True),
    ("photos/**/*", "photos", True),
    ("photos/../photos/**/*.PNG", "photos/out", True),
    ("photos/**/*.[jP]*", "photos/out", True),
    ("photos/**/*.webp", "photos/out", False),  # what is written is PNG
    ("*/*/*", ".", False),  # ./record/carve.png is two deep
    ("*/*/*", "photos", True),
    ("photos/*", "photos/out", False),
    ("photos/*/*", "photos", True),
    ("photos/**/*", "out", False),
    ("photos/deep/**/*", "photos/out", False),
    ("photos/a.jpg", "photos/out", False),
]


@pytest.mark.parametrize(("pattern", "save_dir", "refused"), PATTERNS)
def test_what_a_pattern_would_fit(pattern: str, save_dir: str, refused: bool, folder: Path) -> None:
    inputs = Inputs([pattern])
    if not refused:
        inputs.require_outside(Path(save_dir))
        return
    with pytest.raises(RecordError, match=r"they would be inputs\. Name a folder that the pattern"):
        inputs.require_outside(Path(save_dir))
