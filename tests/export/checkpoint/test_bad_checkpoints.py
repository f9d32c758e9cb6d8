"""Checkpoints that cannot be exported, or would run code: refused, and nothing is written."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from tests.export.cli.commands import carve_export, changed_copy, failed

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
    for absent in ("./absent", "absent", "a/b/absent"):
        result = carve_export(absent, tmp_path / "out")
        failed(result, 1, rf"there is no folder {absent}\. Give a checkpoint's folder")


class Hub(ThreadingHTTPServer):
    """A hub on this machine that knows no repository, or never answers."""

    def __init__(self, answer: dict[str, str] | None) -> None:
        super().__init__(("127.0.0.1", 0), Refusal)
        self.answer, self.closing = answer, Event()
        self.asked: list[str] = []


class Refusal(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        if self.server.answer is None:
            self.server.closing.wait()
            return
        self.send_response(404)
        for name, value in self.server.answer.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


HUBS: dict[str, tuple[dict[str, str] | None, str]] = {
    "no repository": ({"X-Error-Code": "RepoNotFound"}, r"the hub has no such repository"),
    "no configuration": ({"X-Error-Code": "EntryNotFound"}, r"what the hub has .* no config\.json"),
    "silent": (None, r"the hub cannot be reached \(.*timed out.*\)"),
}


@pytest.mark.parametrize("name", HUBS)
def test_a_mistyped_folder_is_told_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, message = HUBS[name]
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    with Hub(answer) as hub:
        Thread(target=hub.serve_forever).start()
        address = f"http://127.0.0.1:{hub.server_port}/{{repo_id}}/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        began = time.monotonic()
        result = carve_export("models/chekpoint", "out")
        took = time.monotonic() - began
        hub.closing.set()
        hub.shutdown()
    failed(result, 1, rf"there is no folder models/chekpoint, and {message}.*\. See how the folder")
    assert len(hub.asked) == 1  # and not again and again
    assert took < 5, "a second, and what a busy machine adds"
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


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
