"""``python -m carve_eval`` on miniature data sets: answers, figures, tables, going on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from carve_eval.answers import Answer, AnswerFile, AnswersError, Identity, bundle_sum, identify
from carve_eval.benchmarks.files import digest
from carve_eval.benchmarks.pope import Pope
from carve_eval.benchmarks.textvqa import TextVQA
from carve_eval.cli import main
from carve_eval.methods import REGIONS
from carve_eval.setting import DEFAULT
from carve_models.aside import take_lock
from carve_models.settings import Settings
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.eval.layout import lay_out
from tests.support import POCKET, ROOT

MANIFEST = open_bundle(POCKET).manifest
DEFAULTS = MANIFEST.defaults


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["default", *map(str, arguments)])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def figures(out: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = json.loads((out / "figures.json").read_text())["figures"]
    return {(row["benchmark"], row["setting"], row["group"]): row for row in rows}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def identity_of(name: str, questions: str, settings: Settings = DEFAULTS) -> Identity:
    return identify(name, questions, MANIFEST, REGIONS, settings)


def write_answers(
    out: Path, benchmark: Pope | TextVQA, data: Path, settings: Settings, answers: dict[str, str]
) -> None:
    """Write answers as a run would have, "plain/refined" by question."""
    identity = identity_of(benchmark.name, digest(benchmark.read(data)), settings)
    file = AnswerFile(out / benchmark.name / f"{DEFAULT}.jsonl", identity)
    for name, both in answers.items():
        plain, refined = both.split("/")
        file.add(Answer(id=name, plain=plain, refined=refined, box=(0, 0, 1, 1)))


def test_every_benchmark_runs_and_the_tables_agree_with_the_answers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folders: list[object] = []
    for name in ("vstar", "textvqa", "pope", "aokvqa"):
        folders += [f"--{name}", lay_out(name, tmp_path)]
    folders += ["--aokvqa-direct", tmp_path / "aokvqa"]
    printed = done(*folders, "--out", out)
    rows = figures(out)
    counts = {benchmark: row["questions"] for (benchmark, _, part), row in rows.items() if not part}
    assert counts == {"A-OKVQA": 3, "A-OKVQA direct": 2, "POPE": 12, "V*": 3, "TextVQA": 4}

    labels = {question.id: question.references[0] for question in Pope().read(tmp_path / "pope")}
    header, *answered = lines(out / "pope" / "default.jsonl")
    assert header["bundle"] == bundle_sum(MANIFEST)
    assert {row["id"] for row in answered} == set(labels)
    assert {row["refined"] for row in answered} == {"yes", "no"}  # so no reading is needed
    right = sum(row["refined"] == labels[row["id"]] for row in answered)
    assert rows["POPE", DEFAULT, ""]["refined"][0] == pytest.approx(right / 12)
    plain, refined = (100 * rows["POPE", DEFAULT, ""][way][0] for way in ("plain", "refined"))
    assert f"{plain:.1f} → {refined:.1f}" in printed
    for title in ("A-OKVQA direct", "V*", "TextVQA", "relative_position", "adversarial", "F1"):
        assert title in printed


def test_figures_of_pope_by_hand(tmp_path: Path, pocket: Carve) -> None:
    data, out = lay_out("pope", tmp_path), tmp_path / "out"
    answers = {  # the labels are yes, no, yes, no in each group
        "random/1": "yes/yes",
        "random/2": "yes/no",
        "random/3": "no/yes",
        "random/4": "yes/no",
        "popular/1": "Yes, there is./yes",
        "popular/2": "no/yes",
    }
    write_answers(out, Pope(), data, pocket.manifest.defaults, answers)
    printed = done("--pope", data, "--out", out, "--limit", 0)  # nothing is asked
    whole, random = figures(out)["POPE", DEFAULT, ""], figures(out)["POPE", DEFAULT, "random"]
    assert (whole["questions"], whole["total"]) == (6, 12)
    assert whole["plain"][0] == pytest.approx(3 / 6)
    assert whole["refined"][0] == pytest.approx(5 / 6)
    assert whole["difference"][0] == pytest.approx(2 / 6)
    assert (whole["only_plain"], whole["only_refined"]) == (1, 3)
    assert whole["p_value"] == pytest.approx(2 * (1 + 4) / 2**4)  # of 4 unequal, 1 or fewer
    assert whole["plain_measures"] == pytest.approx(
        {"precision": 2 / 4, "recall": 2 / 3, "F1": 4 / 7, "yes": 4 / 6}
    )
    assert random["refined_measures"] == {"precision": 1, "recall": 1, "F1": 1, "yes": 0.5}
    assert ("POPE", DEFAULT, "adversarial") not in figures(out)
    assert re.search(r"default +6 of 12 .* 1 : 3 +0\.625", printed)
    assert re.search(
        r"random +33\.3 → 100\.0 +50\.0 → 100\.0 +40\.0 → 100\.0 +75\.0 → 50\.0", printed
    )


def test_figures_of_textvqa_by_hand(tmp_path: Path, pocket: Carve) -> None:
    data, out = lay_out("textvqa", tmp_path), tmp_path / "out"
    answers = {"34602": "t/T", "34603": "I/l", "34604": "s/Two", "34605": "5./s"}
    write_answers(out, TextVQA(), data, pocket.manifest.defaults, answers)
    printed = done("--textvqa", data, "--out", out, "--limit", 0)
    row = figures(out)["TextVQA", DEFAULT, ""]
    # Plain 1, 0.6, 0.3, 1 and CARVE 1, 1, 0.9, 0.3.
    assert row["plain"][0] == pytest.approx(2.9 / 4)
    assert row["refined"][0] == pytest.approx(3.2 / 4)
    assert (row["only_plain"], row["only_refined"]) == (1, 2)
    # Flipping the signs of +0.4, +0.6, -0.7: six of eight sums are 0.3 or more from 0.
    assert row["p_value"] == pytest.approx(1.0)
    assert "72.5 → 80.0" in printed


def test_an_interrupted_run_goes_on(
    tmp_path: Path, pocket: Carve, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out, whole = lay_out("pope", tmp_path), tmp_path / "out", tmp_path / "whole"
    done("--pope", data, "--out", whole)
    add = AnswerFile.add

    def add_and_interrupt(file: AnswerFile, answer: Answer) -> None:
        add(file, answer)
        if len(file.answers) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AnswerFile, "add", add_and_interrupt)
        result = run("--pope", data, "--out", out)
    assert result.exit_code == 130
    assert "the same command goes on" in result.output
    assert not (out / "figures.json").exists()
    path = out / "pope" / "default.jsonl"
    assert len(lines(path)) == 1 + 5
    with path.open("ab") as stream:  # as if the sixth line had been cut off
        stream.write(b'{"id":"random/')
    kept = path.read_bytes().rpartition(b"\n")[0]
    assert "POPE" in done("--pope", data, "--out", out)
    assert path.read_bytes().startswith(kept + b"\n")
    assert path.read_bytes() == (whole / "pope" / "default.jsonl").read_bytes()
    assert figures(out) == figures(whole)


def test_a_limit_asks_some_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    data, out = lay_out("textvqa", tmp_path), tmp_path / "out"
    printed = done("--textvqa", data, "--out", out, "--limit", 3)
    path = out / "textvqa" / "default.jsonl"
    first = path.read_text()
    assert len(first.splitlines()) == 1 + 3
    assert "3 of 4" in printed
    done("--textvqa", data, "--out", out)
    assert path.read_text().startswith(first)
    assert len(lines(path)) == 1 + 4
    done("--textvqa", data, "--out", out)  # asks nothing
    assert len(lines(path)) == 1 + 4


def test_settings_are_compared(tmp_path: Path) -> None:
    data, out = lay_out("textvqa", tmp_path), tmp_path / "out"
    changes = "variant=v4 mask_top_p=0.4  layers=0-1"
    printed = done(
        "--textvqa", data, "--out", out, "--setting", DEFAULT, "--setting", changes, "--limit", 2
    )
    label = "variant=v4 mask_top_p=0.4 layers=0-1"
    assert set(figures(out)) == {("TextVQA", DEFAULT, ""), ("TextVQA", label, "")}
    assert label in printed
    header = lines(out / "textvqa" / "variant=v4_mask_top_p=0.4_layers=0-1.jsonl")[0]
    assert header["settings"]["steps"] == "all"
    assert header["settings"]["layers"] == [0, 1]
    assert header["settings"]["mask_top_p"] == 0.4


def test_passes_that_give_no_plain_answer_take_another_one(tmp_path: Path) -> None:
    data, out = lay_out("textvqa", tmp_path), tmp_path / "out"
    early = "early_exit=true"
    done("--textvqa", data, "--out", out, "--setting", DEFAULT, "--setting", early, "--limit", 2)
    whole, exited = (lines(out / "textvqa" / f"{name}.jsonl")[1:] for name in (DEFAULT, early))
    assert [row["plain"] for row in exited] == [row["plain"] for row in whole]
    assert [row["refined"] for row in exited] == [row["refined"] for row in whole]


def test_answers_of_another_run_are_refused(tmp_path: Path, pocket: Carve) -> None:
    data, out = lay_out("pope", tmp_path), tmp_path / "out"
    defaults = pocket.manifest.defaults
    write_answers(out, Pope(), data, defaults.override(mask_top_p=0.3), {"random/1": "yes/no"})
    before = (out / "pope" / "default.jsonl").read_bytes()
    result = run("--pope", data, "--out", out)
    assert result.exit_code == 1
    assert f"with mask_top_p 0.3 instead of {defaults.mask_top_p}" in result.output
    assert "Choose another folder with --out, or delete the file" in result.output
    assert (out / "pope" / "default.jsonl").read_bytes() == before
    path = tmp_path / "answers.jsonl"
    AnswerFile(path, identity_of("pope", "0")).add(
        Answer(id="a", plain="", refined="", box=(0, 0, 1, 1))
    )
    other = replace(MANIFEST, source="elsewhere")
    with pytest.raises(AnswersError, match=r"with bundle '\w+' instead of '\w+'\."):
        AnswerFile(path, identify("pope", "0", other, REGIONS, DEFAULTS))
    with pytest.raises(AnswersError, match=r"with crop 'regions' instead of 'random'\."):
        AnswerFile(path, identify("pope", "0", MANIFEST, "random", DEFAULTS))
    with pytest.raises(AnswersError, match=r"questions '0' instead of '9'"):
        AnswerFile(path, identity_of("pope", "9"))


def test_thresholds_matter_where_they_are_used() -> None:
    calibrated = replace(DEFAULTS, sure_probability=0.5, focused_entropy=1.0)
    told = replace(MANIFEST, defaults=calibrated)
    assert identify("pope", "0", told, REGIONS, calibrated) == identity_of("pope", "0")
    adaptive = [replace(each, adaptive=True) for each in (DEFAULTS, calibrated)]
    first, second = (identity_of("pope", "0", settings) for settings in adaptive)
    assert first != second


def test_no_pytorch_is_needed() -> None:
    code = (
        "import sys, carve_eval.cli\n"
        "heavy = {'torch', 'transformers', 'onnx', 'carve_export', 'scipy', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": "a"}\n', r"line 2 of .*answers.jsonl is malformed: .*`plain`"),
        ("nonsense\n", r"line 2 of .* is malformed"),
        (2 * '{"id":"a","plain":"","refined":"","box":[0,0,1,1],"entropy":1}\n', "'a' twice"),
    ],
)
def test_damaged_answers_are_an_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "answers.jsonl"
    identity = identity_of("pope", "0")
    AnswerFile(path, identity).add(Answer(id="b", plain="", refined="", box=(0, 0, 1, 1)))
    path.write_text(path.read_text().splitlines()[0] + "\n" + text)
    with pytest.raises(AnswersError, match=says):
        AnswerFile(path, identity)


def test_a_torn_first_line_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"benchmark":"po')
    file = AnswerFile(path, identity_of("pope", "0"))
    assert not file.answers
    file.add(Answer(id="a", plain="", refined="", box=(0, 0, 1, 1)))
    assert list(AnswerFile(path, identity_of("pope", "0")).answers) == ["a"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    """The second to write ends, and leaves what the first has written, or is about to."""
    path = tmp_path / "new" / "answers.jsonl"
    one, other = (Answer(id=name, plain="", refined="", box=(0, 0, 1, 1)) for name in "ab")
    first, second = (AnswerFile(path, identity_of("pope", "0")) for _ in range(2))
    first.add(one)
    half = b'{"id":"b","pl'
    for torn in (b"", half):
        with path.open("ab") as stream:
            stream.write(torn)
        before = path.read_bytes()
        late = AnswerFile(path, identity_of("pope", "0"))
        assert path.read_bytes() == before  # who only reads changes nothing
        with pytest.raises(AnswersError, match=r"is being written by another process\. Wait"):
            second.add(other)
        with path.open("ab") as stream:
            assert take_lock(stream)
            with pytest.raises(AnswersError, match=r"is being written by another process\. Wait"):
                late.add(other)
        assert path.read_bytes() == before
    late.add(other)
    assert list(AnswerFile(path, identity_of("pope", "0")).answers) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "No questions are given"),
        (["--revision", "v1"], 2, "revision is 'v1', and default is no repository of the hub"),
        (["--pope", "nowhere"], 2, "'nowhere' does not exist"),
        (["--pope", "."], 1, r"has no file coco_pope_random.json or the like\. Copy"),
        (["--setting", "mask_top_p"], 2, r"'mask_top_p' is not a change such as"),
        (["--setting", "mask_top_p=2"], 2, r"mask_top_p is 2\. Give a number above 0"),
        (["--setting", "top=2"], 2, r"there is no setting named 'top'"),
        (["--setting", "layers=x"], 2, r"'x' is not a list such as"),
        (["--setting", "default", "--setting", " default "], 2, "given twice"),
        (["--setting", "crop=vicrop"], 2, r"'vicrop' is not a crop; choose from regions, square"),
        (["--setting", "method=random"], 2, r"method is 'random'\. Choose one of contrast"),
        (["--setting", "crop=square layers=0-1"], 2, r"reads one layer, and layers is \[0, 1"),
        (["--setting", "crop=square strategy=size"], 2, "square does not use strategy"),
        (["--setting", "crop=square method=rollout"], 2, "one step .* method is 'rollout'"),
        (["--setting", "crop=square method=agreement"], 2, "one step .* method is 'agreement'"),
        (["--setting", "crop=random method=relative"], 2, "random does not use method"),
        (["--setting", "crop=random variant=v1"], 2, "random does not use variant"),
        (["--setting", "crop=centre mask_top_p=auto"], 2, "reads no attention, and mask_top_p"),
        (["--rows", "answers.txt"], 2, r"written as 'answers\.txt'\. Give a file that ends in"),
        (["--calibrate-adaptive"], 2, r"belongs to the installation.* Copy the folder"),
    ],
)
def test_wrong_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert re.search(says, " ".join(result.output.split())), result.output
