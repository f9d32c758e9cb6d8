"""Promises about the repository itself: what the README claims, what may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from carve_models.families.registry import FAMILIES
from tests.support import ROOT
from tools.checks.readme_command import command
from tools.checks.support_table import with_table

EXPORT_ONLY = {"torch", "transformers", "onnx", "onnx_ir", "onnxscript", "carve_export", "rich"}
FORBIDDEN = {
    "models/carve_models": EXPORT_ONLY | {"carve_runtime", "onnxruntime"},
    "runtime/carve_runtime": EXPORT_ONLY | {"carve_eval"},
    "runtime/carve_eval": (EXPORT_ONLY | {"tools", "tests"}) - {"rich"},
}


PACKAGES = {
    "carve_models": ROOT / "models" / "carve_models",
    "carve_runtime": ROOT / "runtime" / "carve_runtime",
    "carve_eval": ROOT / "runtime" / "carve_eval",
    "carve_export": ROOT / "export" / "carve_export",
    "tools": ROOT / "tools",
}
#: The runtime's rooms, from arrays to the command line: each imports those before it alone.
ROOMS = (
    *("method", "images", "prompt", "backends", "decoder", "attention", "video"),
    *("opened", "session", "several", "watch", "carve"),
    *("batch", "serve", "ray_data", "triton", "cli"),
)
METHOD_IMPORTS = {
    *("numpy", "numpy.typing", "PIL"),
    *("carve_models.errors", "carve_models.settings"),
}
CODE = {".py", ".c", ".h", ".js", ".ts"}
#: The families' names, without the versions that follow.
FAMILY = "|".join(re.split(r"\d", family.name)[0] for family in FAMILIES)
#: What code does not name, by folder; Python's docstrings cite other families' processors.
UNNAMED = {
    "runtime/carve_runtime": "llava",
    "export/carve_export": "llava",
    "runtime/c/src": FAMILY,
    "runtime/js/src": FAMILY,
}
MOST_MODULES = 15  # of one folder
FOLDERS = ("models", "runtime", "export", "tests", "tools", "docs")


@cache
def modules(package: str) -> dict[str, Path]:
    """Return a package's modules by dotted name, ``__init__`` by its folder's."""
    folder = PACKAGES[package]
    names = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


@cache
def imports(path: Path) -> set[str]:
    """Return the dotted names of what a file imports, wherever in it the import stands."""
    ours = {name for package in PACKAGES for name in modules(package)}
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: relative import"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {member if member in ours else node.module for member in members}
    return names


def room(module: str) -> str:
    """Return the room that a module stands in; one beside the rooms is a room of its own."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_data_flows_one_way(folder: str) -> None:
    for module in modules(Path(folder).name).values():
        assert not {name.split(".")[0] for name in imports(module)} & FORBIDDEN[folder], module


def test_the_runtimes_rooms_import_those_before_them() -> None:
    package = PACKAGES["carve_runtime"]
    folders = {path.name for path in package.iterdir() if list(path.glob("*.py"))}
    assert folders <= set(ROOMS)
    for name, path in modules("carve_runtime").items():
        here = room(name).removeprefix("carve_runtime.")
        if here in ROOMS:
            behind = {f"carve_runtime.{later}" for later in ROOMS[ROOMS.index(here) + 1 :]}
            assert not behind & set(map(room, imports(path))), name


def test_the_method_is_arrays_alone() -> None:
    own = "carve_runtime.method"
    for name, path in modules("carve_runtime").items():
        if room(name) == own:
            for module in imports(path):
                standard = module.split(".")[0] in sys.stdlib_module_names
                assert standard or room(module) == own or module in METHOD_IMPORTS, name


@pytest.mark.parametrize("part", [str, room], ids=["modules", "rooms"])
@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_in_no_circle(package: str, part: Callable[[str], str]) -> None:
    graph: dict[str, set[str]] = {}
    for name, path in modules(package).items():
        graph.setdefault(part(name), set()).update(map(part, imports(path)))
    TopologicalSorter({name: uses - {name} for name, uses in graph.items()}).prepare()


def test_folders_stay_small_enough_to_read() -> None:
    for package in PACKAGES.values():
        for folder in {path.parent for path in package.rglob("*.py")}:
            assert len(list(folder.glob("*.py"))) <= MOST_MODULES, folder


def others_behind(module: str, seen: set[str]) -> set[str]:
    """Return the packages of others that a module of ours imports, itself or through ours."""
    name = module.split(".")[0]
    if not name.startswith("carve_"):
        return {name} - sys.stdlib_module_names
    seen.add(module)
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    packages: set[str] = set()
    for node in statements(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            used = [node.module]
            if node.module.startswith("carve_"):
                members = [f"{node.module}.{alias.name}" for alias in node.names]
                used += [member for member in members if is_module(member)]
        else:
            continue
        for name in used:
            if name not in seen:
                packages |= others_behind(name, seen)
    return packages


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs: not what stands behind ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


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


@pytest.mark.parametrize("folder", UNNAMED)
def test_families_are_named_in_models_only(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in CODE]
    assert files
    for path in files:
        lines = [line for line in path.read_text().splitlines() if "carve-export" not in line]
        assert not re.search(UNNAMED[folder], "\n".join(lines), re.IGNORECASE), path


def test_the_support_table_is_made_from_the_cases() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == with_table(readme)


def test_ci_runs_the_commands_of_the_readme() -> None:
    assert "carve-run ask default" in command("quickstart")
    assert "export" not in command("quickstart")
    assert command("test").startswith("tests/setup.sh && .venv/bin/pytest ")
    script = (ROOT / ".ci" / "run").read_text()
    assert "quickstart test" in script
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps


def pages() -> list[Path]:
    below = [page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")]
    return [*ROOT.glob("*.md"), *(page for page in below if "node_modules" not in page.parts)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_paths_that_a_page_names_exist(page: Path) -> None:
    """Links, and paths from the top or from the page; NAME and * stand for any name."""
    text = page.read_text()
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*/]", text):
        pattern = path.replace("NAME", "*")
        assert any(list(folder.glob(pattern)) for folder in (ROOT, page.parent)), path


def test_the_readme_names_what_was_not_run() -> None:
    suite = "tests/runtime/backends"
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu", suite]
    listed = subprocess.run(collect, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    waiting = re.findall(r"::(test_\w+)", listed)
    readme = (ROOT / "README.md").read_text()
    named = readme.split("<!-- not run: begin -->")[1].split("<!-- not run: end -->")[0]
    assert set(re.findall(r"`(test_\w+)`", named)) == set(waiting)
    for backend in re.findall(r"protocol.*\[(.*?)(?:-stops\d)?\]", listed):
        assert f"`[{backend}]`" in readme
