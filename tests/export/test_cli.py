"""carve-export: a bundle that was checked, or a clear error and nothing at all."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

import carve_export.exporter as exporter
from carve_export.cli import main
from carve_models.errors import ParityError
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from tests.checkpoints import make_llava
from tests.conftest import CheckpointOf, ExportOf
from tests.support import CASES, PHOTOS

NAME = "llava-clip-gqa"


def carve_export(*arguments: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=typed)


def failed(result: Result, code: int, message: str) -> None:
    """Check the exit code and that standard error ends with one line of cause and remedy."""
    assert isinstance(result.exception, SystemExit), result.output  # else a traceback
    assert result.exit_code == code, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert re.search(rf"^Error: .*{message}", last), last
    assert last.endswith(".")


@pytest.fixture(scope="module")
def checkpoint(checkpoint_of: CheckpointOf) -> Path:
    return checkpoint_of(NAME)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, export_of: ExportOf) -> None:
    """Save the time of tracing: put the graphs of the same checkpoint's earlier export there."""
    graphs = export_of(NAME, "ort").folder / "onnx"

    def copy(checkpoint: object, manifest: object, folder: Path, on_stage: object) -> None:
        shutil.copytree(graphs, folder / "onnx")

    monkeypatch.setattr(exporter, "_trace", copy)


def changed_copy(checkpoint: Path, folder: Path, file: str, **changes: Any) -> Path:
    """Copy a checkpoint with some fields of one of its JSON files replaced."""
    shutil.copytree(checkpoint, folder)
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))
    return folder


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
    for stage in ("load the checkpoint", "compare with PyTorch", "write the bundle", "done"):
        assert stage in result.stdout
    table = re.findall(r"(logits|attention|features)\S*.*?(\d\.\d\de-\d\d)", result.stdout)
    assert {name for name, _ in table} >= {"logits", "attention"}
    manifest = read_manifest(out)
    assert (manifest.prompts.suffix, manifest.defaults.steps) == ("", "first")
    assert manifest.defaults.layers == manifest.decoder.tapped_layers == (0, 2)
    Carve.load(out).ask(PHOTOS / "landscape.jpg", "What is this?", max_new_tokens=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "settings.json"]


DIFFER = ParityError("the logits differ by 1", "report it")
DISK_FULL = OSError(28, "No space left on device", "onnx/decoder_model_merged.onnx")


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("compare", DIFFER, r"^Error: the logits differ by 1\. Report it\.$"),
        ("compare", KeyboardInterrupt(), r"^Aborted!$"),
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
    other = make_llava(CASES[NAME].recipe | {"seed": 99}, tmp_path / "other")
    result = carve_export(other, tmp_path / "bundle", "--layers", "0,2")
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
        while not list(tmp_path.glob(".bundle.*/tokenizer.json")):  # in the middle of the work
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


BAD_CHECKPOINTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown architecture": (
        {"architectures": ["LlavaNextForConditionalGeneration"], "model_type": "llava_next"},
        r"'LlavaNextForConditionalGeneration'; nearest is LLaVA-1\.5, and all mod.*\. Declare it",
    ),
    "unknown model type": (
        {"architectures": ["OrchidModel"], "model_type": "orchid"},
        r"orchid.*\. ",
    ),
    "no architecture": (
        {"architectures": None},
        r"'\(none\)'.*\. Declare it.* one of Llava",
    ),
}


@pytest.mark.parametrize("name", BAD_CHECKPOINTS)
def test_bad_checkpoints(name: str, checkpoint: Path, tmp_path: Path) -> None:
    changes, message = BAD_CHECKPOINTS[name]
    folder = changed_copy(checkpoint, tmp_path / "checkpoint", "config.json", **changes)
    failed(carve_export(folder, tmp_path / "out"), 1, message)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = carve_export(tmp_path / "empty", tmp_path / "out")
    failed(result, 1, r"empty has no config\.json\. Give a Hugging Face checkpoint")
    result = carve_export("./absent", tmp_path / "out")
    failed(result, 1, r"there is no folder .*absent\. Give a checkpoint's folder")


class Trap:
    """Pickled: writes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.marker),)


def test_pickled_weights_are_never_read(checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "unpickled"
    folder = changed_copy(checkpoint, tmp_path / "checkpoint", "config.json")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(marker)))
    failed(carve_export(folder, tmp_path / "out"), 1, r"safetensors.*\. A checkpoint has config")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(min(weights)), r"weights of .* are incomplete \(missing keys"),
        (lambda weights: None, r"cannot be loaded: .*incomplete metadata"),
    ],
    ids=["missing tensor", "truncated file"],
)
def test_incomplete_weights_are_not_made_up(
    change: Callable[[dict[str, Any]], object], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    folder = changed_copy(checkpoint, tmp_path / "checkpoint", "config.json")
    path = folder / "model.safetensors"
    weights = load_file(path)
    if change(weights) is None:
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        save_file(weights, path, metadata={"format": "pt"})
    failed(carve_export(folder, tmp_path / "out"), 1, message)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


UNTRUSTED: dict[str, dict[str, Any]] = {
    "config.json": {"model_type": "orchid", "auto_map": {"AutoConfig": "trap.Trap"}},
    "tokenizer_config.json": {
        "tokenizer_class": "Orchid",
        "auto_map": {"AutoTokenizer": ["trap.Trap", None]},
    },
    "preprocessor_config.json": {
        "image_processor_type": "Orchid",
        "auto_map": {"AutoImageProcessor": "trap.Trap"},
    },
}


@pytest.mark.parametrize("file", UNTRUSTED)
def test_code_in_a_checkpoint_is_never_run(
    file: str, checkpoint: Path, traced: None, tmp_path: Path
) -> None:
    """Not even if somebody answers yes to a prompt of transformers."""
    marker, folder = tmp_path / "executed", tmp_path / "checkpoint"
    changed_copy(checkpoint, folder, file, **UNTRUSTED[file])
    (folder / "processor_config.json").unlink()  # would replace preprocessor_config.json
    (folder / "trap.py").write_text(f"open({str(marker)!r}, 'w')\nclass Trap: pass\n")
    result = carve_export(folder, tmp_path / "out", typed="y\ny\ny\n")
    assert not marker.exists(), result.output


BAD_SETTINGS = {
    "not JSON": (b"{", r"is not a settings file: .*\. See the example in carve-export --help"),
    "not text": (b"\xff\xfe\x00", r"settings\.json.*\. "),
    "a list": (b"[]", r"Expected `object`, got `array`"),
    "unknown part": (b'{"layers": [1]}', r"unknown field `layers`"),
    "defaults no object": (b'{"defaults": [1]}', r"defaults.*\. "),
    "prompts no object": (b'{"prompts": "x"}', r"prompts.*\. "),
    "prompt no text": (
        b'{"prompts": {"suffix": 3}}',
        r"Expected `str`, got `int`.*prompts",
    ),
    "unknown default": (b'{"defaults": {"shine": 1}}', r"no setting named 'shine'\. Choose"),
    "bad default": (b'{"defaults": {"mask_top_p": 7}}', r"mask_top_p is 7\. Give a value"),
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
