"""carve-run batch: from a folder or a list to a file of answers, through kills and full disks."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from carve_runtime import Carve
from carve_runtime.batch import open_answers
from carve_runtime.cli import progress
from carve_runtime.cli.main import main
from tests.runtime.cli.commands import QUESTION, SCENE, carve_run, failed
from tests.support import SCENES, limited

NAMES = [f"scene-{index:02}.jpg" for index in range(8)]
PATIENCE = 240  # seconds; the machine may be busy


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return a picture that cannot be read."""
    path = tmp_path / "bad.jpg"
    path.write_text("no picture")
    return path


def answers_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def batch(*arguments: object) -> list[str]:
    """Return a command line of this Python."""
    run = "from carve_runtime.cli.main import main; main()"
    return [sys.executable, "-c", run, "batch", "default", *map(str, arguments)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def test_a_folder(pocket: Carve, output: Path) -> None:
    result = carve_run("batch", "default", SCENES, "-q", QUESTION, "-o", output)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{output}: 8 records, 0 with an error\n"
    found = answers_in(output)
    assert [Path(each["image"]).name for each in found] == NAMES
    wanted = pocket.ask(SCENE, QUESTION)
    assert (found[0]["answer"], found[0]["plain_answer"]) == (wanted.answer, wanted.plain_answer)
    assert found[0]["mask_share"] == wanted.mask.mean()
    assert (found[0]["question"], found[0]["error"]) == (QUESTION, None)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (
            ["--mask-top-p", "0.3", "--layers", "0-1", "--workers", "1", "--threads", "1"],
            {"mask_top_p": 0.3, "layers": (0, 1)},
        ),
        (["--variant", "v4", "--max-new-tokens", "2"], {"variant": "v4", "max_new_tokens": 2}),
    ],
)
def test_a_list_with_settings(
    options: list[str], changes: dict[str, Any], pocket: Carve, output: Path
) -> None:
    """Relative to the list's folder; a missing picture is a record, and the exit code says so."""
    rows = [f"{name},{QUESTION},{index}" for index, name in enumerate([NAMES[1], "none.jpg"])]
    table = output.with_name("list.csv")
    table.write_text("\n".join(["image,question,id", *rows]))
    output.with_name(NAMES[1]).write_bytes((SCENES / NAMES[1]).read_bytes())
    result = carve_run("batch", "default", table, "-o", output, *options)
    failed(result, 1, r"1 of 2 records have no answer\. See \"error\" in .*answers\.jsonl")
    first, second = answers_in(output)
    wanted = pocket.ask(SCENES / NAMES[1], QUESTION, **changes)
    assert (first["id"], first["image"], first["answer"]) == ("0", NAMES[1], wanted.answer)
    assert tuple(first["bbox"]) == wanted.bbox
    assert (second["id"], second["answer"]) == ("1", None)
    assert "there is no file" in second["error"]


def test_lists_that_call_their_pictures_alike(output: Path) -> None:
    """Answers about one list's pictures are none about the other's, in this run or a later one."""
    tables, save_dir = [], output.with_name("pictures")
    for folder, name in zip("ab", NAMES, strict=False):
        table = output.with_name(folder) / "list.csv"
        table.parent.mkdir()
        table.write_text(f"image,question\n1.jpg,{QUESTION}\n")
        (table.parent / "1.jpg").write_bytes((SCENES / name).read_bytes())
        tables.append(table)
    for inputs in (tables[1:], tables):
        result = carve_run("batch", "default", *inputs, "-o", output, "--save-dir", save_dir)
        assert result.exit_code == 0, result.output
    found = answers_in(output)
    assert [each["read_from"] for each in found] == ["b/1.jpg", "a/1.jpg"]
    assert len({each["saved"] for each in found}) == 2


def test_plain_answers_from_standard_input(pocket: Carve, output: Path) -> None:
    lines = f'{SCENE}\n{{"image": "{SCENE}", "question": "Is there a star?"}}\n'
    arguments = ["batch", "default", "-", "-q", QUESTION, "-o", str(output), "--plain"]
    result = CliRunner().invoke(main, arguments, input=lines.encode())
    assert result.exit_code == 0, result.output
    found = answers_in(output)
    assert [each["question"] for each in found] == [QUESTION, "Is there a star?"]
    assert found[0]["plain_answer"] == pocket.plain(SCENE, QUESTION).answer
    assert "answer" not in found[0]


def test_pictures_are_saved_in_folders(output: Path) -> None:
    save_dir = output.with_name("pictures")
    result = carve_run(
        "batch", "default", SCENE, "-q", QUESTION, "-o", output, "--save-dir", save_dir
    )
    assert result.exit_code == 0, result.output
    (found,) = answers_in(output)
    assert [str(path) for path in save_dir.iterdir()] == [found["saved"]]
    assert (Path(found["saved"]) / "carve.png").is_file()


def test_killed_and_stopped_it_goes_on(output: Path) -> None:
    """No answer is lost, cut or given twice: SIGKILL, then Ctrl-C, then to the end."""
    questions = [f"What letter is on object {index}?" for index in range(8)]
    asked = [part for question in questions for part in ("-q", question)]
    command = batch(SCENES, *asked, "-o", output, "--workers", 2)
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = output.read_bytes() if output.exists() else b""
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + PATIENCE
        while not output.exists() or output.stat().st_size <= len(before):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(number)
        _, errors = running.communicate(timeout=PATIENCE)
        assert running.returncode == code, errors
        assert output.read_bytes().startswith(before)
    assert re.search(rb"Stopped\. The same command answers the other \d+\.", errors)
    with output.open("ab") as stream:
        stream.write(b'{"image": "cut o')
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = [(Path(each["image"]).name, each["question"]) for each in answers_in(output)]
    assert sorted(found) == sorted((name, question) for name in NAMES for question in questions)
    again = carve_run("batch", "default", SCENES, *asked, "-o", output)
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert len(answers_in(output)) == len(found)


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "a broken line": (["broken.jsonl"], 1, r"broken\.jsonl, line 2 is not JSON .*\. Put one"),
    "no pictures": (["empty", "-q", "x"], 1, r"empty has no pictures in it or below\. Check"),
    "no question": ([SCENE], 1, r"scene-00\.jpg has no question\. Give one with --question"),
    "no columns": (["wrong.csv"], 1, r"wrong\.csv names no column \"image\""),
    "no file": (["nothing.csv"], 1, r"there is no file or folder nothing\.csv\. Check"),
    "no such layer": ([SCENE, "-q", "x", "--layers", "9"], 2, r"not expose layer 9"),
    "workers": ([SCENE, "-q", "x", "--workers", "0", "--threads", "1"], 2, r"workers is 0\. Give"),
    "plain": ([SCENE, "-q", "x", "--plain", "--steps", "all"], 2, r"--steps .*with --plain"),
    "plain pictures": (
        [SCENE, "-q", "x", "--plain", "--save-dir", "x"],
        2,
        r"--save-dir .*with --plain",
    ),
    "its own pictures": (
        [str(SCENES), "-q", "x", "--save-dir", str(SCENES / "out")],
        1,
        r"the pictures there would be inputs\. Name",
    ),
    "an empty pipe": (["-", "-q", "x"], 1, r"standard input is empty\. Pipe"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_writes_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken.jsonl").write_text(f'{{"image": "{SCENE}", "question": "x"}}\n{{"image": \n')
    Path("wrong.csv").write_text("file,question\nx,y\n")
    before = sorted(tmp_path.iterdir())
    arguments, code, message = REFUSED[what]
    failed(carve_run("batch", "default", *arguments, "-o", "answers.jsonl"), code, message)
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    ask = ("batch", "default", SCENE, "-q", QUESTION, "--plain", "-o")
    failed(carve_run(*ask, tmp_path), 1, r"is no file\. Name a file for the answers")
    failed(carve_run(*ask, tmp_path / "a.CSV"), 1, r"a\.CSV names a table\. End it in \.jsonl")
    failed(carve_run(*ask, "-"), 2, "answers go to a file")
    (tmp_path / "file").write_text("keep")
    failed(carve_run(*ask, tmp_path / "file" / "a.jsonl"), 1, r"cannot be used: .*Check the path")
    failed(carve_run(*ask, tmp_path / "file"), 1, r"how it was made is not known.*\. Name another")
    records = tmp_path / "list.jsonl"
    records.write_text(json.dumps({"image": SCENE, "question": QUESTION}))
    same = carve_run("batch", "default", records, "-o", records)
    failed(same, 1, r"list\.jsonl is both an input and the output\. Name")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "list.jsonl"]
    with limited(resource.RLIMIT_FSIZE, 750):  # room for the settings and no answer
        full = carve_run("batch", "default", SCENE, "-q", QUESTION, "-o", tmp_path / "a.jsonl")
    failed(full, 1, r"a\.jsonl cannot be used: .*Check the path and the free space")
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_two_processes_do_not_write_one_file(output: Path) -> None:
    with open_answers(output, {}):
        other = carve_run("batch", "default", SCENE, "-q", QUESTION, "-o", output)
    failed(other, 1, r"is being written by another process\. Wait for its end")


def test_other_settings_go_into_another_file(output: Path) -> None:
    ask = ("batch", "default", SCENE, "-q", QUESTION, "-o", output)
    assert carve_run(*ask).exit_code == 0
    before = output.read_bytes()
    for options, message in {
        ("--mask-top-p", "0.5"): r"with mask_top_p .*, and 0\.5 is asked for\. Name another",
        ("--plain",): r"with plain False, and True is asked for",
        ("--max-image-pixels", "9999999"): r"max_image_pixels .*9999999 is asked for",
    }.items():
        failed(carve_run(*ask, *options), 1, message)
    assert output.read_bytes() == before


def test_progress_without_a_terminal(
    output: Path, bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PAUSE", 0)
    result = carve_run("batch", "default", SCENE, bad, "-q", "x", "--plain", "-o", output)
    first, second = result.stderr.splitlines()[:2]
    assert re.fullmatch(r"answered 1 of 2, \d+\.\d\d a second, \d+ s left", first)
    assert re.fullmatch(r"answered 2 of 2, .* a second, 1 with an error, 0 s left", second)


def test_a_bar_on_a_terminal(output: Path, bad: Path) -> None:
    command = batch(SCENES, bad, "-q", "x", "--plain", "-o", output)
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # Linux says so that the other side is closed
            pass
        assert running.stdout is not None
        assert running.stdout.read().endswith(b"9 records, 1 with an error\n")
    os.close(ours)
    text = shown.decode()
    assert re.search(r"answered  \[#+-*\]  [1-9]/9 ", text), text
    assert re.search(r"9/9 .*\d+\.\d\d a second, 1 with an error", text), text
