"""optimum-cli export carve does what carve-export does."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optimum.commands.optimum_cli import main as optimum_cli

from carve_export.cli.main import main as carve_export
from carve_runtime.bundle import open_bundle
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES

CASE = "llava-multi-layer-features"


@pytest.fixture(autouse=True)
def single_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a second copy of this repository, should one be installed: Optimum would read both."""
    register = Path("optimum", "commands", "register", "register_carve.py")
    _, *copies = [folder for folder in sys.path if (Path(folder) / register).is_file()]
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in copies])


def optimum(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["optimum-cli", "export", "carve", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        optimum_cli()
    return int(str(ended.value.code or 0))


def test_a_bundle(
    export_of: ExportOf,
    trace_from: Callable[[Path], None],
    checkpoint_of: CheckpointOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_from(export_of(CASE, "portable").folder)
    layers = ",".join(map(str, CASES[CASE].layers))
    options = ["--profile", "portable", "--layers", layers]
    out = tmp_path / "bundle"
    assert optimum(monkeypatch, *options, checkpoint_of(CASE), out) == 0
    manifest = open_bundle(out).manifest
    assert manifest.profile == "portable"
    assert manifest.decoder.tapped_layers == CASES[CASE].layers


def test_the_same_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert optimum(monkeypatch, "--help") == 0
    offered = set(re.findall(r"^ +(--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    expected = {
        name
        for parameter in carve_export.params
        for name in parameter.opts
        if parameter.expose_value
    }
    assert offered == {name for name in expected if name.startswith("--")}


def test_the_same_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert optimum(monkeypatch, tmp_path, tmp_path / "out") == 1
    assert optimum(monkeypatch, tmp_path, tmp_path / "out", "--profile", "none") == 2
    assert optimum(monkeypatch, tmp_path) == 2
