"""The file of answers: whole lines, one process, and a later run that goes on."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from carve_runtime import RecordError
from carve_runtime.batch import Record, open_answers
from tests.support import limited

HOW: dict[str, Any] = {"bundle": "b", "layers": (1, 2), "mask_top_p": 0.2}


def record(name: str, number: int = 0) -> Record:
    return Record(image=b"", name=name, question="why?", number=number)


def line(name: str, error: str | None = None) -> dict[str, Any]:
    return {"image": name, "question": "why?", "answer": "so", "read_from": None, "error": error}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Return a file with the answers a, b, b."""
    path = tmp_path / "new" / "answers.jsonl"
    with open_answers(path, HOW) as answers:
        for name in "abb":
            answers.write(line(name, "bad" if name == "a" else None))
        assert (answers.answered, answers.failed) == (3, 1)
    return path


@pytest.mark.parametrize("end", [b"", b'{"image":"c","question":"why?","error":nu', b'{"image"'])
def test_a_run_goes_on(end: bytes, begun: Path) -> None:
    """With what a kill has left of the last line, too."""
    whole = begun.read_bytes()
    begun.write_bytes(whole + end)
    with open_answers(begun, HOW) as answers:
        assert (answers.answered, answers.failed) == (3, 1)
        left = list(answers.missing([record(name, i) for i, name in enumerate("bcabbdc")]))
        assert [(each.name, each.number) for each in left] == [
            ("c", 1),
            ("b", 4),  # the third b; two have their answers
            ("d", 5),
            ("c", 6),
        ]
        assert [each.number for each in answers.missing(left)] == [1, 5, 6]  # counted anew
        answers.write(line("c"))
    assert (
        begun.read_bytes() == whole + json.dumps(line("c"), separators=(",", ":")).encode() + b"\n"
    )


def test_a_line_that_was_removed_is_answered_again(begun: Path) -> None:
    lines = begun.read_text().splitlines(keepends=True)
    begun.write_text("".join(lines[1:]))
    with open_answers(begun, HOW) as answers:
        assert [each.name for each in answers.missing([record("a"), record("b")])] == ["a"]


def test_pictures_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """An answer about one is none about the other; both may move together with the answers."""
    path = tmp_path / "out" / "answers.jsonl"
    a, b = (Record(image=tmp_path / name / "1.jpg", name="1.jpg", question="why?") for name in "ab")
    with open_answers(path, HOW) as answers:
        answers.write({**line("1.jpg"), "read_from": b.read_from})
    with open_answers(path, HOW) as answers:
        assert list(answers.missing([a, b])) == [a]
    assert json.loads(path.read_text())["read_from"] == "../b/1.jpg"
    tmp_path.joinpath("all").mkdir()
    path.parent.rename(tmp_path / "all" / "out")
    with open_answers(tmp_path / "all" / "out" / "answers.jsonl", HOW) as answers:
        there = Record(image=tmp_path / "all" / "b" / "1.jpg", name="1.jpg", question="why?")
        assert not list(answers.missing([there]))


OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "a setting": ({"mask_top_p": 0.4}, r"with mask_top_p 0\.2, and 0\.4 is asked for\. Name"),
    "layers": ({"layers": (1,)}, r"with layers \[1, 2\], and \[1\] is asked for"),
    "a bundle": ({"bundle": "c"}, r"with bundle 'b', and 'c' is asked for"),
    "a new setting": ({"new": 1}, r"with new None, and 1 is asked for"),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_answers_made_otherwise_are_refused(what: str, begun: Path) -> None:
    changes, message = OTHERWISE[what]
    before = begun.read_bytes()
    with pytest.raises(RecordError, match=message), open_answers(begun, HOW | changes):
        pass
    assert begun.read_bytes() == before
    begun.unlink()
    with open_answers(begun, HOW | changes):  # nothing is left that was made in another way
        pass


def test_a_file_of_something_else_is_refused(begun: Path) -> None:
    before = begun.read_bytes()
    for bad in (b"7\n", b'{"answer": "so"}\n', b"\0\0\n"):
        begun.write_bytes(before + bad)
        with pytest.raises(RecordError, match=r"line 4 is no answer"), open_answers(begun, HOW):
            pass
        assert begun.read_bytes() == before + bad
    beside = begun.with_name("answers.jsonl.settings.json")
    for damage in (lambda: beside.write_text("[1]"), beside.unlink):
        damage()
        with (
            pytest.raises(RecordError, match=r"how it was made is not known: .*settings\.json"),
            open_answers(begun, HOW),
        ):
            pass
    with pytest.raises(RecordError, match=r"is no file"), open_answers(begun.parent, HOW):
        pass


def test_two_do_not_write_at_once(begun: Path) -> None:
    with (
        open_answers(begun, HOW) as answers,
        pytest.raises(RecordError, match=r"is being written by another process\. Wait"),
        open_answers(begun, HOW),
    ):
        pass
    with open_answers(begun, HOW) as answers:
        assert answers.answered == 3


def test_a_line_is_written_whole_or_not_at_all(begun: Path) -> None:
    before = begun.read_bytes()
    with open_answers(begun, HOW) as answers:
        for room in (0, 5):
            with (
                limited(resource.RLIMIT_FSIZE, len(before) + room),
                pytest.raises(OSError, match=r"answers\.jsonl"),
            ):
                answers.write(line("c"))
            assert begun.read_bytes() == before
        answers.write(line("c"))
        assert answers.answered == 4
    assert begun.read_bytes().startswith(before)
    assert [json.loads(each)["image"] for each in begun.read_text().splitlines()] == list("abbc")


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with (
        limited(resource.RLIMIT_FSIZE, 10),
        pytest.raises(OSError, match="large"),
        open_answers(path, HOW),
    ):
        pass
    assert not list(tmp_path.iterdir())
