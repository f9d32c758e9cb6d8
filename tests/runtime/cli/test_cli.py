"""carve-run: what it prints and what it writes."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner
from PIL import Image

from carve_models.aside import LOCK, aside_of, lock
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from carve_runtime.cli.main import main
from carve_runtime.cli.options import given
from tests.runtime.cli.commands import ASK, QUESTION, SCENE, carve_run, failed
from tests.support import POCKET

PICTURES = {"original", "saliency", "heat", "mask", "masked", "regions", "refined", "carve"}


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command, as a user does."""
    executable = shutil.which("carve-run", path=str(Path(sys.executable).parent))
    assert executable, "carve-run is not installed beside this Python"
    line = [executable, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_ask_prints_both_answers_and_writes_the_picture(pocket: Carve, tmp_path: Path) -> None:
    picture = tmp_path / "carve.png"
    wanted = pocket.ask(SCENE, QUESTION)
    result = carve_run(*ASK, "--picture", picture)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["plain", wanted.plain_answer]
    assert lines[1].split() == ["CARVE", wanted.answer]
    assert lines[2].startswith(f"box    {wanted.bbox} scaled to ")
    assert lines[-1] == f"saved  {picture}"
    with Image.open(picture) as shown:
        shown.load()
        assert shown.width > 3 * shown.height  # four panels side by side
    assert [path.name for path in tmp_path.iterdir()] == ["carve.png"]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {}),
        (["--variant", "v2", "--mask-top-p", "0.2"], {"variant": "v2", "mask_top_p": 0.2}),
        (
            ["--layers", "0-1,3", "--steps", "last", "--rule", "released", "--max-regions", "2"],
            {"layers": (0, 1, 3), "steps": "last", "rule": "released", "max_regions": 2},
        ),
        (
            ["--final-prompt", "pair", "--geometry", "released", "--max-new-tokens", "2"],
            {"final_prompt": "pair", "geometry": "released", "max_new_tokens": 2},
        ),
        (
            ["--strategy", "remove_small", "--outlier-percent", "5", "--regularizer", "1e-4"],
            {"strategy": "remove_small", "outlier_percent": 5.0, "regularizer": 1e-4},
        ),
        (
            ["--mask-top-p", "auto", "--max-regions", "2", "--contrast", "off"],
            {"mask_top_p": "auto", "max_regions": 2, "contrast": "off"},
        ),
        (
            ["--regularizer", "auto", "--contrast", "auto"],
            {"regularizer": "auto", "contrast": "auto"},
        ),
        (["--max-refined-pixels", "5000"], {"max_refined_pixels": 5000}),
        (["--resize-refined", "once"], {"resize_refined": "once"}),
    ],
)
def test_json_says_what_python_says(
    options: list[str], changes: dict[str, object], pocket: Carve
) -> None:
    result = carve_run(*ASK, "--json", *options)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    actual = json.loads(result.stdout, parse_constant=pytest.fail)  # NaN is not JSON
    wanted = pocket.ask(SCENE, QUESTION, **changes)  # type: ignore[call-overload]
    assert (actual["answer"], actual["plain_answer"]) == (wanted.answer, wanted.plain_answer)
    assert tuple(actual["bbox"]) == wanted.bbox
    assert tuple(actual["image_size"]) == wanted.image.shape[1::-1]
    assert tuple(actual["refined_size"]) == wanted.refined_image.shape[1::-1]
    assert actual["refined_limited"] == wanted.refined_limited == ("max_refined_pixels" in changes)
    assert actual["mask_share"] == wanted.mask.mean()
    assert actual["settings"] == json.loads(json.dumps(vars(wanted.settings)))
    assert actual["saved"] == []


def test_several_questions_are_answered_in_turn(pocket: Carve) -> None:
    questions = (QUESTION, "How many objects are there?")
    wanted = [pocket.ask(SCENE, question) for question in questions]
    actual = json.loads(carve_run("ask", "default", SCENE, *questions, "--json").stdout)
    assert [each["answer"] for each in actual] == [result.answer for result in wanted]
    assert actual[0]["counts"] == vars(wanted[0].counts)
    assert actual[1]["counts"]["vision_runs"] == wanted[1].counts.vision_runs - 1
    lines = carve_run("ask", "default", SCENE, *questions).stdout.splitlines()
    assert [line for line in lines if line in questions] == list(questions)
    assert sum(line.startswith("CARVE") for line in lines) == len(questions)
    one_picture = carve_run("ask", "default", SCENE, *questions, "--picture", "carve.png")
    failed(one_picture, 2, "--picture shows one question; 2 were given")


def test_early_exit_says_that_there_is_no_plain_answer() -> None:
    options = ("--early-exit", "--steps", "first", "--layers", "1")
    result = carve_run(*ASK, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("CARVE")
    assert json.loads(carve_run(*ASK, *options, "--json").stdout)["plain_answer"] is None


def test_adaptive_says_why_it_kept_the_plain_answer() -> None:
    options = ("--adaptive", "--sure-probability", "0", "--focused-entropy", "100")
    lines = carve_run(*ASK, *options).stdout.splitlines()
    assert lines[0].startswith("plain")
    assert lines[1].startswith("CARVE  skipped: the plain answer is sure")


def test_plain_gives_the_plain_answer_alone(pocket: Carve) -> None:
    wanted = pocket.plain(SCENE, QUESTION).answer
    result = carve_run(*ASK, "--plain")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["plain", wanted]
    assert "CARVE" not in result.stdout
    actual = json.loads(carve_run(*ASK, "--plain", "--json").stdout)
    assert actual["plain_answer"] == wanted
    assert "answer" not in actual


def test_save_dir_holds_every_picture(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    result = carve_run(*ASK, "--json", "--save-dir", folder)
    assert result.exit_code == 0, result.output
    expected = {f"{name}.png" for name in PICTURES} | {"result.json"}
    assert {path.name for path in folder.iterdir()} == expected
    assert {Path(path) for path in json.loads(result.stdout)["saved"]} == set(folder.iterdir())
    for name in PICTURES - {"carve", "refined"}:
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.size == (640, 640)


def test_a_picture_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(SCENE).read_bytes()
    arguments = ["ask", "default", "-", QUESTION, "--plain", "--json"]
    piped = CliRunner().invoke(main, arguments, input=data)
    assert piped.exit_code == 0, piped.output
    wanted = json.loads(carve_run(*ASK, "--plain", "--json").stdout)
    assert json.loads(piped.stdout)["plain_answer"] == wanted["plain_answer"]
    monkeypatch.setattr(given, "MOST_BYTES", len(data) - 1)
    refused = CliRunner().invoke(main, arguments, input=data)
    failed(refused, 1, rf"more than {len(data) - 1} bytes\. Give the path")


def test_a_question_may_be_longer_than_any_path() -> None:
    failed(carve_run("ask", "default", SCENE, "why " * 9999), 1, r"1024\. Shorten the question")


def test_info(tmp_path: Path) -> None:
    result = carve_run("info", POCKET)
    assert result.exit_code == 0, result.output
    for expected in ("llava", "12 x 12 (rows x columns)", "4 layers", "1024 positions", "mask_top"):
        assert expected in result.stdout
    manifest = json.loads(carve_run("info", "default", "--json").stdout)
    assert manifest == json.loads((POCKET / "carve.json").read_text())
    assert manifest["family"] == read_manifest(POCKET).family
    failed(carve_run("info", tmp_path), 1, r"is not a bundle: .*\. Give the folder")


def test_doctor() -> None:
    result = carve_run("doctor")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    for expected in ("Python", "ONNX Runtime", "OpenVINO 20", "default bundle"):
        assert sum(expected in line for line in lines) == 1


def test_doctor_lists_what_killed_exports_left(tmp_path: Path) -> None:
    for name in ("killed", "running"):
        aside = aside_of(tmp_path / name)
        aside.mkdir()
        (aside / LOCK).touch()
    (tmp_path / ".other.carve").mkdir()
    stream = lock(aside_of(tmp_path / "running"))
    assert stream is not None
    with stream:
        result = carve_run("doctor", tmp_path)
    assert result.exit_code == 0, result.output
    listed = [line for line in result.stdout.splitlines() if str(tmp_path) in line]
    assert len(listed) == 1
    assert re.match(r"--    .*/\.killed\.carve was left by an export that was killed", listed[0])


@pytest.mark.parametrize("name", [None, "ask", "info", "doctor"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_examples(name: str | None, flag: str) -> None:
    result = carve_run(*([name] if name else []), flag)
    assert result.exit_code == 0
    assert "\\b" not in result.stdout  # click's mark for "do not wrap", not for readers
    assert "\b" not in result.stdout
    examples = [line.strip() for line in result.stdout.splitlines() if "  carve-run " in line]
    assert examples
    assert all(example.startswith(f"carve-run {name or ''}") for example in examples)


def test_tokens_appear_as_they_are_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        shown: ClassVar[list[str]] = []

        def flush(self) -> None:
            self.shown.append(self.getvalue())

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    instruction = "Write a general description of the image."
    main(["ask", "default", SCENE, instruction, "--plain"], standalone_mode=False)
    line = screen.getvalue().splitlines()[0]
    growing = [text for text in dict.fromkeys(screen.shown) if line.startswith(text)]
    assert len(growing) > 4
    assert growing == sorted(growing, key=len)


def test_the_installed_command(pocket: Carve, tmp_path: Path) -> None:
    done = command(*ASK, "--json", "--picture", "out.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["answer"] == pocket.ask(SCENE, QUESTION).answer
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    missing = command("ask", "default", "missing.jpg", "x", "--save-dir", "all", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert re.fullmatch(r"Error: there is no file missing\.jpg\. Check .*\.\n", missing.stderr)
    wrong = command(*ASK, "--mask-top-p", "7", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith(
        'Error: mask_top_p is 7.0. Give a number above 0, at most 1, or "auto".\n'
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["ask"], "def", ["plain,default", "dir,def"]),
        (["ask"], "my", ["dir,my"]),
        (["ask", "default"], "pho", ["file,pho"]),
        (["batch", "default"], "", ["file,"]),
    ],
)
def test_completion(words: list[str], incomplete: str, expected: list[str]) -> None:
    """As a shell asks for it: folders and the default bundle, then files."""
    line = shlex.join(["carve-run", *words, incomplete])
    environment = {
        "_CARVE_RUN_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) + 1),
    }
    result = CliRunner().invoke(main, [], env=environment, prog_name="carve-run")
    assert result.output.split() == expected
