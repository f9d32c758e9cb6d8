"""Promises about the repository itself: what the README claims, what may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT
from tools.checks.readme_command import command
from tools.checks.support_table import with_table

EXPORT_ONLY = {"torch", "transformers", "onnx", "onnx_ir", "onnxscript", "carve_export", "rich"}
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


def others_behind(module: str, seen: set[str]) -> set[str]:
    """Return the packages of others that a module of ours imports, itself or through ours."""
    name = module.split(".")[0]
    if not name.startswith("carve_"):
        return {name} - sys.stdlib_module_names
    seen.add(module)
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    found = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            used = [node.module]
            if node.module.startswith("carve_"):
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                used += [one for one in inner if is_module(one)]
        else:
            continue
        found |= {other for one in used if one not in seen for other in others_behind(one, seen)}
    return found


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the member of a module that is no package
        return False


def test_the_extra_engines_brings_what_the_builder_imports() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|engines) = \[$(.*?)^\]$", project, re.M | re.S)
    assert len(lists) == 2
    brought = set(re.findall(r'^ *"([\w-]+)', "".join(lists), re.M))
    for package in others_behind("carve_export.cli.engine", set()):
        assert brought.intersection(map(str.lower, packages_distributions()[package])), package


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
