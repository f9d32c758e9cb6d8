"""carve-export: a bundle that was checked, or a clear error and nothing at all."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import carve_export.exporter as exporter
from carve_models.errors import ParityError
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from tests.checkpoints import make_llava
from tests.conftest import HeadsOf
from tests.export.cli.commands import NAME, carve_export, failed
from tests.support import CASES, PHOTOS


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_examples(flag: str) -> None:
    result = carve_export(flag)
    assert result.exit_code == 0
    assert "\\b" not in result.stdout
    examples = [line for line in result.stdout.splitlines() if line.startswith("    carve-export ")]
    assert len(examples) >= 3
    assert '{"prompts": ' in result.stdout


def test_an_export_shows_what_it_does_and_how_close_it_is(
    checkpoint: Path, traced: None, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"prompts": {"suffix": ""}, "defaults": {"steps": "first"}}')
    out = tmp_path / "bundle"
    result = carve_export(checkpoint, out, "--layers", "0,2", "--settings", settings)
    assert result.exit_code == 0, result.output
    assert "exposed: layers 0, 2, the mean over heads" in result.stdout
    for stage in ("load the checkpoint", "compare with PyTorch", "write the bundle", "done"):
        assert stage in result.stdout
    table = re.findall(r"(logits|attention|features)\S*.*?(\d\.\d\de-\d\d)", result.stdout)
    assert {name for name, _ in table} >= {"logits", "attention"}
    manifest = read_manifest(out)
    assert (manifest.prompts.suffix, manifest.defaults.steps) == ("", "first")
    assert manifest.defaults.layers == manifest.decoder.tapped_layers == (0, 2)
    Carve.load(out).ask(PHOTOS / "landscape.jpg", "What is this?", max_new_tokens=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "settings.json"]


def test_heads_instead_of_their_mean(
    checkpoint: Path, trace_from: Callable[[Path], None], heads_of: HeadsOf, tmp_path: Path
) -> None:
    """Compared with PyTorch at once, and again."""
    trace_from(heads_of(NAME, "ort"))
    out = tmp_path / "bundle"
    result = carve_export(checkpoint, out, "--layers", "0,2", "--attention", "heads")
    assert result.exit_code == 0, result.output
    assert "exposed: layers 0, 2, each of 4 heads" in result.stdout
    assert read_manifest(out).decoder.attention == "heads"
    result = carve_export("verify", out, checkpoint)
    assert result.exit_code == 0, result.output


DIFFER = ParityError("the logits differ by 1", "report it")
DISK_FULL = OSError(28, "No space left on device", "onnx/decoder_model_merged.onnx")


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("compare_outputs", DIFFER, r"^Error: the logits differ by 1\. Report it\.$"),
        ("compare_outputs", KeyboardInterrupt(), r"^Aborted!$"),
        ("_trace", KeyboardInterrupt(), r"^Aborted!$"),
        ("write_manifest", KeyboardInterrupt(), r"^Aborted!$"),
        ("write_manifest", DISK_FULL, r"^Error: .*No space left on device.*"),
    ],
)
@pytest.mark.parametrize("occupied", [False, True])
@pytest.mark.usefixtures("traced")
def test_a_failed_export_leaves_everything_as_it_was(
    step: str,
    error: BaseException,
    message: str,
    occupied: bool,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(exporter, step, fail)
    out = tmp_path / "bundle"
    if occupied:
        out.mkdir()
        (out / "carve.json").write_text("the bundle before")
    result = carve_export(checkpoint, out, "--layers", "0,2", *["--overwrite"] * occupied)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.search(message, result.stderr.strip().splitlines()[-1])
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "carve.json"] * occupied
    if occupied:
        assert (out / "carve.json").read_text() == "the bundle before"


def test_graphs_of_other_weights_fail_the_comparison(traced: None, tmp_path: Path) -> None:
    different = make_llava(CASES[NAME].recipe | {"seed": 99}, tmp_path / "other")
    result = carve_export(different, tmp_path / "bundle", "--layers", "0,2")
    failed(result, 1, r"differ.*\. ")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("reason", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_export_leaves_nothing(
    reason: signal.Signals, checkpoint: Path, tmp_path: Path
) -> None:
    executable = shutil.which("carve-export", path=str(Path(sys.executable).parent))
    assert executable, "carve-export is not installed beside this Python"
    out = tmp_path / "bundle"
    with subprocess.Popen(
        [executable, str(checkpoint), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".bundle.*/*/tokenizer.json")):  # in the middle of the work
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(reason)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_an_occupied_place_is_refused(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
    (out / "notes.txt" if kind == "folder" else out).write_text("keep")
    before = sorted(tmp_path.rglob("*"))
    message = r"out is already there\. Choose another folder" if kind == "folder" else "is a file"
    failed(carve_export(checkpoint, out), 1, message)
    assert sorted(tmp_path.rglob("*")) == before


BAD_SETTINGS = {
    "not JSON": (b"{", r"is not a settings file: .*\. See the example in carve-export --help"),
    "not text": (b"\xff\xfe\x00", r"settings\.json.*\. "),
    "a list": (b"[]", r"Expected `object`, got `array`"),
    "unknown part": (b'{"layers": [1]}', r"unknown field `layers`"),
    "defaults not an object": (b'{"defaults": [1]}', r"defaults.*\. "),
    "prompts not an object": (b'{"prompts": "x"}', r"prompts.*\. "),
    "prompt not a text": (
        b'{"prompts": {"suffix": 3}}',
        r"Expected `str`, got `int`.*prompts",
    ),
    "unknown default": (b'{"defaults": {"shine": 1}}', r"no setting named 'shine'\. Choose"),
    "bad default": (b'{"defaults": {"mask_top_p": 7}}', r"mask_top_p is 7\. Give a number"),
    "unknown prompt": (b'{"prompts": {"shine": ""}}', r"no prompt named 'shine'\. Choose"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings_files(name: str, checkpoint: Path, traced: None, tmp_path: Path) -> None:
    data, message = BAD_SETTINGS[name]
    path = tmp_path / "settings.json"
    path.write_bytes(data)
    failed(carve_export(checkpoint, tmp_path / "out", "--settings", path), 2, message)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_wrong_use(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    failed(carve_export(checkpoint), 2, "Missing argument 'OUT'")
    failed(carve_export(checkpoint, out, "--opset", "3"), 2, "3 is not in the range 18<=x<=23")
    failed(carve_export(checkpoint, out, "--layers", "0-99999999"), 2, "beyond 999")
    failed(carve_export(checkpoint, out, "--profile", "gpu"), 2, "'gpu' is not one of 'ort'")
    failed(carve_export(checkpoint, out, "--layers", "x"), 2, r"'x' is not a list such as")
    failed(carve_export(checkpoint, out, "--settings", tmp_path / "no.json"), 2, r"no\.json")
    assert not list(tmp_path.iterdir())
