"""Run tests under node's test runner."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.consumers.building import with_node

HANGS = 900  # seconds, many times what any of the runs takes


def node(package: Path, *command: object, **environment: str) -> str:
    """Run a command in a package's folder and return what it prints."""
    assert (package / "node_modules").is_dir(), f"tests/setup.sh fills {package}/node_modules"
    done = subprocess.run(
        list(map(str, command)),
        cwd=package,
        env=with_node() | environment,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node_tests(package: Path, file: Path, **environment: str) -> int:
    """Run a file of tests, all of which must pass, and return their number."""
    printed = node(package, "node", "--test", "--test-reporter=tap", file, **environment)
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", printed, re.M)}
    assert counts["pass"] == counts["tests"] > 0, printed
    return counts["pass"]
