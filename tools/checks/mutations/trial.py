"""Run tests on copies of the repository, as it is and with one mutation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest

from tools.checks.mutations.mutation import Mutation, StaleMutationError

#: Folders whose packages the tests import.
_SOURCES = ("models", "runtime", "export")
#: What git ignores and tests of JavaScript need: ``tests/setup.sh`` fills it.
_PACKAGES = ("runtime/js/node_modules",)
#: A mutated run is stopped after so many times the seconds of the run without, plus some.
_PATIENCE, _GRACE = 5, 60


class Result(Enum):
    """What became of a mutation under one selection of tests."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    STALE = "stale: its text is not there once"
    RED = "tests fail without it"
    BROKEN = "tests do not run with it"
    HANGS = "tests do not end with it"


_BY_STATUS: dict[int | None, Result] = {
    pytest.ExitCode.OK: Result.SURVIVED,
    pytest.ExitCode.TESTS_FAILED: Result.CAUGHT,
    None: Result.HANGS,
}


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes:
        status: its exit status; ``None`` if it was stopped.
        passed: how many tests passed.
        failed: the first test that failed, or the line that says what else went wrong.
        seconds: what it took.
    """

    status: int | None
    passed: int
    failed: str
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """One mutation under one selection of tests.

    Attributes:
        mutation: the edit.
        tests: the selection.
        result: whether it was caught, or why not.
        detail: the test that failed, or what went wrong.
        seconds: of the mutated run.
    """

    mutation: Mutation
    tests: str
    result: Result
    detail: str
    seconds: float = 0.0


class Trials:
    """Tries mutations of one repository; what the tests do without is found out once."""

    def __init__(self, root: Path) -> None:
        """Try mutations of the repository at ``root``; it is never written to."""
        self._root = root
        self._baselines: dict[str, Run] = {}

    def judge(self, mutation: Mutation, tests: str) -> Verdict:
        """Return whether tests that pass without a mutation fail with it."""
        path = self._root / mutation.file
        try:
            mutated = mutation.mutate(path.read_text(encoding="utf-8"))
        except (OSError, StaleMutationError) as error:
            return Verdict(mutation, tests, Result.STALE, str(error))
        baseline = self._baseline(tests)
        if baseline.status != pytest.ExitCode.OK or not baseline.passed:
            detail = baseline.failed or "no test ran"
            return Verdict(mutation, tests, Result.RED, detail, baseline.seconds)
        with self._copy() as copy:
            (copy / mutation.file).write_text(mutated, encoding="utf-8")
            run = run_tests(copy, tests, _GRACE + _PATIENCE * baseline.seconds)
        result = _BY_STATUS.get(run.status, Result.BROKEN)
        return Verdict(mutation, tests, result, run.failed, run.seconds)

    def _baseline(self, tests: str) -> Run:
        if tests not in self._baselines:
            with self._copy() as copy:
                self._baselines[tests] = run_tests(copy, tests)
        return self._baselines[tests]

    @cached_property
    def _files(self) -> list[str]:
        """What git tracks or would: no caches, no build outputs."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self._root, check=True, capture_output=True, text=True)
        names = sorted(set(listed.stdout.split("\0")) - {""})
        return [name for name in names if (self._root / name).is_file()]

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        """Yield a copy of the repository's files without its history, npm's packages linked."""
        with TemporaryDirectory(prefix="mutation-") as folder:
            copy = Path(folder)
            for name in self._files:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self._root / name, copy / name)
            for name in _PACKAGES:
                if (self._root / name).is_dir():
                    (copy / name).symlink_to(self._root / name)
            yield copy


def run_tests(root: Path, tests: str, limit: float | None = None) -> Run:
    """Run a selection of a repository's tests until the first one fails.

    Args:
        root: the repository; its own packages are imported, by subprocesses too.
        tests: what pytest is to run, relative to the repository.
        limit: seconds after which the run is stopped.
    """
    report = root / "report.xml"
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--junitxml={report}"]
    packages = os.pathsep.join(str(root / folder) for folder in _SOURCES)
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, tests],
            cwd=root,
            env=os.environ | {"PYTHONPATH": packages},
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired as error:
        return Run(None, 0, f"stopped after {error.timeout:.0f} s", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    passed, failed = _read_report(report) if report.exists() else (0, "")
    if done.returncode and not failed:
        failed = (done.stdout + done.stderr).strip().splitlines()[-1]
    return Run(done.returncode, passed, failed, seconds)


def _read_report(report: Path) -> tuple[int, str]:
    """Return how many tests passed, and the first one that did not."""
    passed, failed = 0, ""
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed = failed or str(case.get("name"))
        elif "skipped" not in outcomes:
            passed += 1
    return passed, failed
