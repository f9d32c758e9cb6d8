"""What ``carve-run ray`` refuses, and says in one line, before a cluster has anything to do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runtime.cli.commands import QUESTION, SCENE, carve_run, failed

GOOD = f'{{"image": "{SCENE}", "question": "{QUESTION}"}}\n'
#: A file's name and content, and what is said of it.
BAD_INPUT = {
    "no column": (
        "q.jsonl",
        b'{"image": "a.jpg"}\n',
        "no column 'question'; its columns",
    ),
    "own column": (
        "q.jsonl",
        b'{"image": "a.jpg", "question": "", "answer": "AT"}\n',
        "the column 'answer' has the name",
    ),
    "broken JSON": ("q.jsonl", b'{"image": \n', "q.jsonl cannot be read: Expecting value"),
    "a list": ("q.json", b"[]\n", "q.json cannot be read: its first line is no object"),
    "empty": ("q.jsonl", b"", "no column 'image'; its columns are none"),
    "no Parquet": ("q.parquet", b"PAR1 and nothing else", "q.parquet cannot be read"),
    "another format": ("q.csv", b"image,question\n", "no questions.*Give a file or a folder"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_input_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    file, content, message = BAD_INPUT[name]
    (tmp_path / file).write_bytes(content)
    out = tmp_path / "out"
    for given in (tmp_path / file, tmp_path):
        failed(carve_run("ray", "default", given, "-o", out), 1, message)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_folder_of_both_formats(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(GOOD)
    pq.write_table(pa.table({"image": ["a"], "question": ["b"]}), tmp_path / "q.parquet")
    result = carve_run("ray", "default", tmp_path, "-o", tmp_path / "out")
    failed(result, 1, "files of both formats")


def test_answers_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(GOOD)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "answers.parquet").write_text("mine")
    result = carve_run("ray", "default", tmp_path / "q.jsonl", "-o", tmp_path / "out")
    failed(result, 2, "out is already there. Choose another folder")
    assert (tmp_path / "out" / "answers.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--actors", "0"], 2, "actors is 0"),
        (["--gpus", "1"], 2, "num_gpus is 1.0, and the backend computes on the CPU"),
        (["--mask-top-p", "2"], 2, "mask_top_p is 2.0"),
        (["--plain", "--variant", "v1"], 2, "only plain answers are asked for"),
        (["--address", "127.0.0.1:1"], 1, "no Ray cluster can be used at 127.0.0.1:1"),
    ],
)
def test_options_that_cannot_be(
    options: list[str], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text(GOOD)
    result = carve_run("ray", "default", tmp_path / "q.jsonl", "-o", tmp_path / "out", *options)
    failed(result, code, message)
    assert not (tmp_path / "out").exists()
