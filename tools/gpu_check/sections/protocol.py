"""The tests that every backend keeps, on this device."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from carve_eval.reporting.tables import Table
from tools.gpu_check.bench import Bench

_ROOT = Path(__file__).parents[3]
_SUITE = "tests/runtime/backends/test_protocol.py"
_SOURCES = ("models", "runtime", "export")
_LONGEST = 120  # seconds
_COUNTS = ("tests", "failures", "errors", "skipped")


def measure(bench: Bench) -> Sequence[Table]:
    """Run the tests in a process of their own."""
    report = bench.out.resolve() / "protocol.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-k", f"ort-{bench.device.provider}", f"--junitxml={report}"]
    if bench.device.is_gpu:
        options.append("--gpu")
    paths = [*(str(_ROOT / name) for name in _SOURCES), os.environ.get("PYTHONPATH", "")]
    log = bench.out / "protocol.txt"
    try:
        with log.open("w") as stream:
            subprocess.run(
                [sys.executable, "-m", "pytest", _SUITE, *options],
                cwd=_ROOT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=_LONGEST,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the tests took more than {_LONGEST} s, see {log.name}") from None
    return [protocol_table(report, bench.device.provider)]


def protocol_table(report: Path, provider: str) -> Table:
    """Return how many tests passed, and the names of those that did not; from JUnit's XML."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    tests, failures, errors, skipped = (int(suite.get(name, 0)) for name in _COUNTS)
    broken = [
        str(case.get("name"))
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    passed = tests - failures - errors - skipped
    row = (f"`{_SUITE}`, {provider}", passed, failures + errors, skipped, ", ".join(broken))
    columns = ("tests", "passed", "failed", "skipped", "which failed")
    return Table("protocol", "The backends' protocol", columns, [row])
