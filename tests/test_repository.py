"""Promises about the repository itself: what the README claims, what may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tools.readme_command import command
from tools.support_table import with_table

EXPORT_ONLY = {"torch", "transformers", "onnx", "onnxscript", "carve_export", "rich"}
FORBIDDEN = {
    "models/carve_models": EXPORT_ONLY | {"carve_runtime", "onnxruntime"},
    "runtime/carve_runtime": EXPORT_ONLY,
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_data_flows_one_way(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    for module in modules:
        assert not imports(module) & FORBIDDEN[folder], module


def test_families_are_named_in_models_only() -> None:
    for folder in ("runtime/carve_runtime", "export/carve_export"):
        for module in (ROOT / folder).rglob("*.py"):
            code = "\n".join(
                line for line in module.read_text().splitlines() if "carve-export" not in line
            )
            assert "llava" not in code.lower(), module


def test_the_support_table_is_made_from_the_cases() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == with_table(readme)


def test_ci_runs_the_commands_of_the_readme() -> None:
    assert "carve-run ask default" in command("quickstart")
    assert "export" not in command("quickstart")
    assert command("test").rstrip().endswith("pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert "quickstart test" in script


def test_the_readme_names_what_was_not_run() -> None:
    suite = "tests/runtime/backends/test_protocol.py"
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu", suite]
    listed = subprocess.run(collect, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    waiting = re.findall(r"::(test_\w+)\[", listed)
    readme = (ROOT / "README.md").read_text()
    named = readme.split("<!-- not run: begin -->")[1].split("<!-- not run: end -->")[0]
    assert set(re.findall(r"`(test_\w+)`", named)) == set(waiting)
    for backend in re.findall(r"\[(.*?)(?:-stops\d)?\]", listed):
        assert f"`[{backend}]`" in readme
