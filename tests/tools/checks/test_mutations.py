"""Every mutation still fits the code, and the tool tells what is caught from what is not."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tools.checks.mutations import __main__ as command
from tools.checks.mutations import trial
from tools.checks.mutations.mutation import ROOT, Mutation, load_mutations
from tools.checks.mutations.trial import Result, Trials

MUTATIONS = load_mutations()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_mutation_fits_the_code(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    mutated = mutation.mutate(source)  # raises unless the text is there once
    if mutation.file.endswith(".py"):
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    assert mutated != source
    assert mutation.file.split("/")[0] in {"models", "runtime", "export", "tools"}
    assert mutation.caught_by
    for tests in mutation.caught_by:
        file, _, test = tests.partition("::")
        assert f"def {test.partition('[')[0]}" in (ROOT / file).read_text(encoding="utf-8")


def test_names_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


SOURCE = "def answer():\n    return 41 + 1\n"
TESTS = {
    "right": "from answer import answer\n\ndef test_it():\n    assert answer() == 42\n",
    "wrong": "def test_it():\n    assert False\n",
    "skipped": "import pytest\n\ndef test_it():\n    pytest.skip('no answer')\n",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small repository."""
    root = tmp_path_factory.mktemp("tree")
    (root / "models").mkdir()
    (root / "tests").mkdir()
    (root / "models" / "answer.py").write_text(SOURCE)
    for name, text in TESTS.items():
        (root / "tests" / f"test_{name}.py").write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def trials(tree: Path) -> Trials:
    return Trials(tree)


def mutation(find: str, replace: str, tests: str = "right") -> Mutation:
    caught_by = (f"tests/test_{tests}.py",)
    return Mutation(
        name="it", file="models/answer.py", find=find, replace=replace, caught_by=caught_by
    )


@pytest.mark.parametrize(
    ("edit", "result", "detail"),
    [
        (mutation("41 + 1", "41 + 2"), Result.CAUGHT, "test_it"),
        (mutation("41 + 1", "1 + 41"), Result.SURVIVED, ""),
        (mutation("41 + 3", "1"), Result.STALE, "models/answer.py has '41 + 3' 0 times, not once"),
        (mutation("1", "2"), Result.STALE, "models/answer.py has '1' 2 times, not once"),
        (mutation("41 + 1", "41 +"), Result.BROKEN, "test_right"),
        (mutation("41 + 1", "41 + 2", "wrong"), Result.RED, "test_it"),
        (mutation("41 + 1", "41 + 2", "skipped"), Result.RED, "no test ran"),
        (mutation("def", "while True: pass\ndef"), Result.HANGS, "stopped after"),
    ],
    ids=lambda value: value.name if isinstance(value, Result) else "",
)
def test_verdicts(
    edit: Mutation,
    result: Result,
    detail: str,
    trials: Trials,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if result is Result.HANGS:  # the others are slow where the machine is busy
        monkeypatch.setattr(trial, "_PATIENCE", 1)
        monkeypatch.setattr(trial, "_GRACE", 2)
    verdict = trials.judge(edit, edit.caught_by[0])
    assert verdict.result is result
    assert detail in verdict.detail
    assert (tree / edit.file).read_text() == SOURCE


def test_survivors_are_listed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survivor = mutation("41 + 1", "1 + 41")
    monkeypatch.setattr(command, "ROOT", tree)
    monkeypatch.setattr(command, "load_mutations", lambda: [survivor])
    done = CliRunner().invoke(command.main, [])
    assert done.exit_code == 1
    assert "0 of 1 caught\nit, tests/test_right.py: survived" in done.stdout
    unknown = CliRunner().invoke(command.main, ["--only", "another"])
    assert unknown.exit_code == 2
    assert "there is no mutation named another" in unknown.stderr


def test_an_entry_has_no_other_fields(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- {name: a, file: b, find: c, replace: d, caught: [e]}")
    with pytest.raises(msgspec.ValidationError, match="caught"):
        load_mutations(tmp_path)


def test_a_mutation_of_the_product_is_caught(tmp_path: Path) -> None:
    """Of the runtime alone, with a test of it and no conftest.py, which would import PyTorch."""
    for name in ("models/carve_models", "runtime/carve_runtime", "tests/cases", "tests/scenes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    tests = "tests/runtime/method/test_refine.py"
    (tmp_path / tests).parent.mkdir(parents=True)
    for name in ("pyproject.toml", "tests/support.py", tests):
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (edit,) = (edit for edit in MUTATIONS if edit.name == "the box is one column short")
    assert Trials(tmp_path).judge(edit, tests).result is Result.CAUGHT
