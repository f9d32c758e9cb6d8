"""carve-run serve: how it starts, ends and fails."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from carve_runtime import Carve
from tests.runtime.cli.commands import carve_run, failed
from tests.runtime.serve.serving import HANGS, QUESTION, SCENE, chat, command

CLIENTS = 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_its_answers(number: signal.Signals, pocket: Carve) -> None:
    expected = pocket.ask(SCENE, QUESTION).answer
    request = chat(model="default", stream=True)
    with command("--workers", 1) as (server, process), ThreadPoolExecutor(CLIENTS) as threads:
        asked = [threads.submit(server.post, request) for _ in range(CLIENTS)]
        asked[0].result()
        process.send_signal(number)
        texts = [each.result().text for each in asked]
        assert process.wait(HANGS) == 0
        output, errors = process.communicate()
    assert all(text.endswith("data: [DONE]\n\n") for text in texts)
    assert all(f'"answer":"{expected}"' in text for text in texts)
    assert "Traceback" not in errors + output


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = rf"cannot listen at 127\.0\.0\.1, port {port}: .*in use\. Choose another --port"
        failed(carve_run("serve", "default", "--port", port), 1, message)


FAILURES: dict[str, tuple[list[Any], int, str]] = {
    "no bundle": (["missing", "--port", 0], 1, r"missing is not a bundle"),
    "no such host": (["default", "--host", "203.0.113.1", "--port", 0], 1, "cannot listen at"),
    "no key": (["default", "--api-key-file", "missing.txt"], 1, "missing.txt cannot be used"),
    "empty key": (["default", "--api-key-file", "/dev/null"], 2, "holds no API key. Write one"),
    "port": (["default", "--port", 70_000], 2, "port is 70000. Give a value"),
    "workers": (["default", "--workers", 0], 2, "workers is 0. Give a value"),
    "queue": (["default", "--queue", -1], 2, "queue is -1. Give a value"),
    "seconds": (["default", "--seconds", "nan"], 2, "seconds is nan. Give a value"),
    "site": (["default", "--site", "/"], 2, r"/ has no index.html"),
    "private alone": (["default", "--allow-private-addresses"], 2, "remote pictures are not"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_how_it_fails(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, code, message = FAILURES[name]
    failed(carve_run("serve", *arguments), code, message)


def test_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "carve_runtime.serve.server", None)
    message = (
        r"the server cannot be imported .*\. Install FastAPI.*pip install \"carve-vlm\[serve\]"
    )
    failed(carve_run("serve", "default", "--port", 0), 1, message)


def test_a_key_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_text("of-the-file\n")
    with command("--name", "small", "--api-key-file", file, CARVE_API_KEY="other") as (server, _):
        assert server.client("of-the-file").models.list().data[0].id == "small"
        assert server.get("v1/models").status_code == 401
    with command(CARVE_API_KEY="of-the-environment") as (server, _):
        assert server.client("of-the-environment").models.list().data[0].id == "default"
        assert server.get("v1/models").status_code == 401


def test_other_machines(tmp_path: Path) -> None:
    """Without a key it says what that means; there the header Host may say anything."""
    with command("--host", "0.0.0.0") as (server, process):
        port = server.url.rstrip("/").rsplit(":", 1)[1]
        local = f"http://127.0.0.1:{port}/health"
        assert server.http.get(local, headers={"Host": "any.example"}).status_code == 200
        process.terminate()
        assert process.wait(HANGS) == 0
        assert process.stderr is not None
        assert "Warning: everybody who reaches this server" in process.stderr.read()
