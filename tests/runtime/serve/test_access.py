"""Who may ask for what: addresses, hosts, keys; and what the server says of its own faults."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from carve_runtime import Carve
from carve_runtime.serve.app import make_app
from carve_runtime.serve.guard import CHAT
from carve_runtime.serve.metrics import Metrics
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.workers import Workers
from tests.runtime.serve.serving import (
    MODEL,
    Server,
    answers,
    chat,
    refused,
    running,
)

KEY = "a key of one line"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nosuch", 404),
        ("GET", "v1/nosuch", 404),
        ("GET", "browser/", 404),
        ("GET", "%2e%2e/app.py", 404),
        ("GET", "..%2fapp.py", 404),
        ("GET", "v1/chat/completions", 405),
        ("DELETE", "v1/models", 405),
        ("OPTIONS", "v1/chat/completions", 405),
        ("POST", "health", 405),
        ("POST", "v1/chat/completions%0A", 404),
        ("POST", "v1/chat/completions%0D", 404),
        ("GET", "metrics%0A", 404),
        ("GET", "v1/models%00", 404),
    ],
)
def test_addresses(method: str, path: str, status: int, server: Server) -> None:
    code = {404: "not_found", 405: "method_not_allowed"}[status]
    response = server.http.request(method, f"{server.url}{path}")
    refused(response, status, code, r"^there is nothing at '/|^'/\S+' does not take " + method)


def test_no_job_starts_without_a_place(pocket: Carve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing guards the application."""
    monkeypatch.setattr(Workers, "start", lambda *_: pytest.fail("a job starts"))
    app = make_app(pocket, ServeOptions(model=MODEL), 80)
    app.user_middleware.clear()

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post(CHAT, json=chat())

    assert asyncio.run(post()).status_code == 500


def test_what_every_answer_carries(server: Server) -> None:
    for path in ("", "nosuch", "health", "v1/models"):
        headers = server.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'self' 'wasm-unsafe-eval'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost:1", "127.0.0.1.evil:80"])
@pytest.mark.parametrize("path", ["health", "v1/models", ""])
def test_another_host(host: str, path: str, server: Server) -> None:
    response = server.get(path, headers={"Host": host})
    refused(response, 421, "wrong_host", re.escape(repr(host)))


def test_both_of_its_names(server: Server) -> None:
    port = urlsplit(server.url).port
    for name in ("localhost", "127.0.0.1"):
        assert server.get("health", headers={"Host": f"{name}:{port}"}).status_code == 200


def test_the_port_that_clients_leave_out() -> None:
    options = ServeOptions(model=MODEL)
    names = {"127.0.0.1", "localhost", "[::1]"}
    assert (options.hosts(80) or set()) & names == names
    assert not (options.hosts(8080) or set()) & names


def test_a_host_behind_a_proxy(pocket: Carve) -> None:
    with running(pocket, allowed_hosts=("carve.example",)) as server:
        assert server.get("health", headers={"Host": "carve.example"}).status_code == 200
        assert server.get("health", headers={"Host": "evil.example"}).status_code == 421


@pytest.fixture(scope="module")
def locked(pocket: Carve) -> Iterator[Server]:
    with running(pocket, api_key=KEY) as server:
        yield server


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", f"Bearer {KEY}x", f"Bearer  {KEY}", KEY, f"Basic {KEY}", "é"]
)
@pytest.mark.parametrize("path", ["v1/models", "v1/models/pocket", "metrics", "v1/nosuch"])
def test_a_wrong_key(given: str | None, path: str, locked: Server) -> None:
    headers = {} if given is None else {"Authorization": given.encode()}
    response = locked.get(path, headers=headers)
    error = refused(response, 401, "invalid_api_key", "wrong" if given else "missing")
    assert error["type"] == "authentication_error"
    assert KEY not in response.text


def test_a_key(locked: Server) -> None:
    refused(locked.post(chat()), 401, "invalid_api_key", "missing")
    refused(locked.post(b" " * 50_000_000), 401, "invalid_api_key", "missing")
    answers(locked, headers={"Authorization": f"Bearer {KEY}"})
    assert locked.client(KEY).models.list().data[0].id == MODEL
    for path in ("", "page.js", "health"):
        assert locked.get(path).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault(
    stream: bool, pocket: Carve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what it was, the answer does not."""

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret")

    with running(pocket) as server:
        with monkeypatch.context() as patch:
            patch.setattr(Carve, "ask", fail)
            response = server.post(chat(stream=stream))
        error = refused(response, 500, "internal_error", "^the server failed. Look into its log")
        assert error["type"] == "server_error"
        assert "ZeroDivisionError: a secret" in caplog.text
        assert server.metric('carve_requests_total{outcome="internal_error"}') == 1
        answers(server)


@pytest.mark.parametrize(
    ("method", "path", "broken"),
    [
        ("POST", "v1/chat/completions", (Carve, "settings")),
        ("GET", "metrics", (Metrics, "text")),
    ],
)
def test_a_fault_outside_an_answer(
    method: str,
    path: str,
    broken: tuple[type, str],
    pocket: Carve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running(pocket) as server:
        with monkeypatch.context() as patch:
            patch.setattr(*broken, lambda *_, **__: 1 / 0)
            response = server.http.request(method, f"{server.url}{path}", json=chat())
        refused(response, 500, "internal_error", "^the server failed. Look into its log")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert caplog.text.count("ZeroDivisionError: division by zero") == 1
        assert server.metric('carve_requests_total{outcome="client_left"}') == 0
        counted = server.metric('carve_requests_total{outcome="internal_error"}')
        assert counted == (method == "POST")
