"""What a release consists of: workflows, versions, the site."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.consumers.node import node
from tests.support import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
LINT = ROOT / "tests" / "tools" / "workflows"
TOOLS = Path(sys.executable).parent


def test_the_workflows_are_valid() -> None:
    node(LINT, "node", "lint.mjs", *WORKFLOWS.glob("*.yml"))


def test_a_wrong_workflow_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "release.yml"
    wrong.write_text((WORKFLOWS / "release.yml").read_text().replace("needs: build", "needs: bild"))
    with pytest.raises(AssertionError, match="job-needs"):
        node(LINT, "node", "lint.mjs", wrong)


def test_every_package_has_the_same_version(tmp_path: Path) -> None:
    """The command that writes a new one finds the old one wherever it has to stand."""
    configured = re.findall(r'^filename = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    for name in {"pyproject.toml", *configured}:
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    bump = [str(TOOLS / "bump-my-version"), "bump", "--new-version", "98.7.6"]
    subprocess.run(bump, cwd=tmp_path, check=True, capture_output=True)
    for name in {"pyproject.toml", *configured}:
        text = (tmp_path / name).read_text()
        assert re.search(r"98\.7|VERSION_MAJOR 98", text), name


def test_the_site_has_no_broken_link() -> None:
    """A warning is an error there; the reference knows shapes and errors."""
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "site"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (ROOT / "build" / "docs" / "docs" / "reference" / "index.html").read_text()
    assert "carve_runtime.Carve.ask" in reference
    assert "SettingsError" in reference
    assert ":class:" not in reference
