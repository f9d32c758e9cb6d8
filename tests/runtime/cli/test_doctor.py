"""carve-run doctor where an installation is damaged, or a provider's library crashes or hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from carve_models.child import run_module
from carve_runtime.backends.cuda_versions import describe
from carve_runtime.cli import doctor
from carve_runtime.cli.main import main
from carve_runtime.cli.started import start_providers
from tests.runtime.cli.commands import ASK, carve_run
from tests.support import ROOT

SITE = Path(sysconfig.get_path("platlib"))
RUN = "from carve_runtime.cli.main import main; main()"
ONNXRUNTIME = "onnxruntime"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return what pip leaves of ONNX Runtime where two distributions were, and one was removed."""
    site = tmp_path / "site"
    site.mkdir()
    for path in SITE.iterdir():
        if path.name != ONNXRUNTIME and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    (site / ONNXRUNTIME / "capi").mkdir(parents=True)
    (site / ONNXRUNTIME / "capi" / "libonnxruntime.so.1").write_bytes(b"")
    return site


def run_without_site(site: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    paths = [site, *(ROOT / folder for folder in ("models", "runtime", "export"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-S", "-c", RUN, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_damaged_onnxruntime(damaged: Path) -> None:
    remedy = "pip uninstall --yes onnxruntime, then pip install 'carve-vlm[cpu]'"
    for arguments in (["doctor"], list(ASK)):
        done = run_without_site(damaged, arguments)
        said = done.stdout + done.stderr
        assert done.returncode == (0 if "OpenVINO 20" in done.stdout else 1), said
        assert f"ONNX Runtime is damaged ({damaged / ONNXRUNTIME} has no InferenceSession)" in said
        assert remedy.lower() in said.lower()
        assert "Traceback" not in said


def test_each_provider_is_started() -> None:
    assert "ok    CPUExecutionProvider computes" in carve_run("doctor").stdout


def test_a_plug_in_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime_ep_openvino.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = carve_run("doctor")
    assert result.exit_code == 0, result.output
    assert "--    OpenVINOExecutionProvider does not start: ended by SIGABRT" in result.stdout


def test_a_process_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run_module("sleeper", seconds=0.5).failure == "did not end within 0.5 s"


def test_a_process_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "Failed to load library /x/libprovider.so with error: libcublas.so.13: not found"
    (tmp_path / "onnxruntime_ep_openvino.py").write_text(
        f"import sys\nprint({error!r}, file=sys.stderr)\nsys.exit('why')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert start_providers()["openvino"] == "why (libcublas.so.13: not found)"


@pytest.mark.no_gpu
def test_an_onnxruntime_for_the_cpu_wants_no_cuda() -> None:
    assert describe() == []


@pytest.mark.parametrize(("name", "code"), [("cpu", 1), ("cuda", 0)])
def test_the_cpu_has_to_start(name: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "start_providers", lambda: {name: "ended by SIGSEGV"})
    done = CliRunner().invoke(main, ["doctor"])
    assert "does not start: ended by SIGSEGV" in done.output
    assert done.exit_code == code
