"""The wheel alone does the main job: no PyTorch, no transformers, no onnx."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support import ROOT

ABSENT = ["torch", "transformers", "onnx", "onnxscript", "scipy"]
JOB = """
import json, sys
from importlib.util import find_spec
from carve_runtime import Carve
import carve_runtime

absent = sys.argv[2:]
result = Carve.load().ask(sys.argv[1], "What word is on the purple square?")
print(json.dumps({
    "answer": result.answer,
    "plain": result.plain_answer,
    "where": carve_runtime.__file__,
    "installed": [name for name in absent if find_spec(name)],
    "imported": [name for name in absent if name in sys.modules],
}))
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel and its ``cpu`` extra."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cpu]", cwd=folder)
    return folder / "env" / "bin"


def test_the_wheel_answers_without_torch(bare: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes((ROOT / "models" / "pocket" / "example.jpg").read_bytes())
    report = json.loads(run(bare / "python", "-c", JOB, photo, *ABSENT, cwd=tmp_path))
    assert report["answer"] == "HI"
    assert report["plain"] != "HI"
    assert not Path(report["where"]).is_relative_to(ROOT)
    assert report["installed"] == report["imported"] == []


def test_the_commands_work(bare: Path, tmp_path: Path) -> None:
    assert "FAIL" not in run(bare / "carve-run", "doctor", cwd=tmp_path)
    assert "llava" in run(bare / "carve-run", "info", "default", cwd=tmp_path)
    help_text = run(bare / "carve-export", "--help", cwd=tmp_path)
    assert "Examples:" in help_text
    checkpoint = ROOT / "models" / "pocket" / "checkpoint"
    command = [str(bare / "carve-export"), str(checkpoint), "b"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert b"carve-vlm[cpu,export]" in done.stderr
    assert b"Traceback" not in done.stderr
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"image": "a.jpg", "question": "Is there a dog?", "answer": "no"}')
    (tmp_path / "a.jpg").write_bytes((ROOT / "models" / "pocket" / "example.jpg").read_bytes())
    command = [str(bare / "carve-eval"), "default", "--jsonl", str(questions)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert b"carve-vlm[eval]" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_wheel_is_typed_and_small(bare: Path) -> None:
    (wheel,) = bare.parent.parent.glob("*.whl")
    assert wheel.stat().st_size < 10e6
    (package,) = bare.parent.glob("lib/python*/site-packages/carve_runtime")
    for name in ("carve_runtime", "carve_eval", "carve_export", "carve_models"):
        assert (package.parent / name / "py.typed").is_file()
    command = "optimum/commands/register/register_carve.py"
    assert (package.parent / command).is_file()
    assert not list((package.parent / "optimum").rglob("__init__.py"))  # Optimum's namespace
    assert not (package.parent / "carve_models" / "pocket" / "checkpoint").exists()


def test_pypi_would_take_them(bare: Path) -> None:
    """Also the source, from which the wheel was built; on PyPI the README's links are absolute."""
    built = sorted(bare.parent.parent.glob("carve_vlm-*"))
    assert [path.suffix for path in built] == [".whl", ".gz"]
    run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=bare)
    (metadata,) = bare.parent.glob("lib/python*/site-packages/carve_vlm-*.dist-info/METADATA")
    text = metadata.read_text()
    assert "Project-URL: Documentation, https://" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert not [link for link in links if not link.startswith(("https://", "#"))]
