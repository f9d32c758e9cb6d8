"""Queue, time limit, clients that leave, and the server's end; answers stop at a gate meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from carve_runtime import Carve
from carve_runtime.serve.guard import CHAT, Guard
from carve_runtime.serve.metrics import Metrics
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.refusals import BusyError, ClientLeftError
from carve_runtime.serve.sources import Source
from carve_runtime.serve.workers import Workers
from tests.runtime.serve.serving import (
    HANGS,
    MODEL,
    QUESTION,
    SCENE,
    SOON,
    HeldCarve,
    Server,
    chat,
    messages,
    running,
    until,
)
from tests.support import POCKET


class Picture:
    """What weak references may point to, which bytes are not."""


@pytest.fixture(scope="module")
def loaded() -> HeldCarve:
    vlm = HeldCarve.load(POCKET, image_cache_bytes=0)
    assert isinstance(vlm, HeldCarve)
    return vlm


@pytest.fixture
def vlm(loaded: HeldCarve) -> HeldCarve:
    """A bundle whose gate is closed."""
    loaded.gate.clear()
    loaded.left = 0
    return loaded


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


@contextmanager
def holding(vlm: HeldCarve, **options: Any) -> Iterator[Server]:
    """Run a server; its gate is open in the end, whatever happened, so that it can end."""
    with running(vlm, **options) as server:
        try:
            yield server
        finally:
            vlm.gate.set()


def until_busy(server: Server, waiting: int) -> None:
    """Wait until one answer is being made, and so many requests wait."""
    names = ("carve_running", "carve_queue_length")
    until(lambda: [server.metric(name) for name in names] == [1, waiting])


def ask(server: Server) -> httpx.Response:
    return server.post(chat())


def answered(response: httpx.Response, pocket: Carve) -> None:
    expected = pocket.ask(SCENE, QUESTION).answer
    assert response.json()["choices"][0]["message"]["content"] == expected, response.text


def works_again(server: Server, vlm: HeldCarve, pocket: Carve) -> None:
    """Check that nothing runs or waits any more, and that the next one is answered."""
    vlm.gate.set()
    until(lambda: server.metric("carve_running") + server.metric("carve_queue_length") == 0)
    answered(ask(server), pocket)


def begun(server: Server, body: dict[str, Any], sent: int | None = None) -> socket.socket:
    """Send a request, or its first bytes, without waiting for its answer."""
    where = urlsplit(server.url)
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    connection = socket.create_connection((where.hostname, where.port or 0))
    connection.sendall(head.encode() + data[:sent])
    return connection


def test_a_full_queue(vlm: HeldCarve, pocket: Carve, threads: ThreadPoolExecutor) -> None:
    with holding(vlm, workers=1, queue=2) as server:
        asked: list[Future[httpx.Response]] = [threads.submit(ask, server) for _ in range(3)]
        until_busy(server, waiting=2)
        refused = ask(server)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["code"] == "queue_full"
        with pytest.raises(openai.RateLimitError, match="3 requests are being answered or wait"):
            server.client().chat.completions.create(model=MODEL, messages=messages())
        assert server.get("health").status_code == 200
        vlm.gate.set()
        for each in asked:
            answered(each.result(), pocket)
        works_again(server, vlm, pocket)


def test_a_client_that_tries_again(
    vlm: HeldCarve, pocket: Carve, threads: ThreadPoolExecutor
) -> None:
    """OpenAI's client does so after the seconds that it is told."""
    with holding(vlm, workers=1, queue=0) as server:
        first = threads.submit(ask, server)
        until_busy(server, waiting=0)
        client = server.client(max_retries=2)
        fields: dict[str, Any] = {"model": MODEL, "messages": messages()}
        second = threads.submit(client.chat.completions.create, **fields)
        until(lambda: server.metric('carve_requests_total{outcome="queue_full"}') == 1)
        vlm.gate.set()
        answered(first.result(), pocket)
        assert second.result().choices[0].message.content == pocket.ask(SCENE, QUESTION).answer


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_limit(stream: bool, vlm: HeldCarve, pocket: Carve) -> None:
    with holding(vlm, workers=1, seconds=4.0) as server:
        response = server.post(chat(stream=stream))
        if stream:  # the status was sent with the first token
            assert response.status_code == 200
            *_, last = (line for line in response.text.splitlines() if line)
            error = json.loads(last.removeprefix("data: "))["error"]
        else:
            assert response.status_code == 504
            assert response.headers["x-should-retry"] == "false"
            error = response.json()["error"]
        assert error["code"] == "time_limit"
        assert "not ready after 4 s" in error["message"]
        assert server.metric('carve_requests_total{outcome="time_limit"}') == 1
        assert server.metric("carve_running") == 1  # it stops at its next token
        vlm.gate.set()
        until(lambda: vlm.left == 1)
        works_again(server, vlm, pocket)


def test_what_waits_too_long_never_begins(
    vlm: HeldCarve, pocket: Carve, threads: ThreadPoolExecutor
) -> None:
    with holding(vlm, workers=1, queue=1, seconds=2.0) as server:
        asked = [threads.submit(ask, server) for _ in range(2)]
        assert [each.result().status_code for each in asked] == [504, 504]
        works_again(server, vlm, pocket)
        assert vlm.left == 1


def test_a_body_that_does_not_come(vlm: HeldCarve, pocket: Carve) -> None:
    with holding(vlm, workers=1, queue=0, seconds=0.3) as server:
        with begun(server, chat(), sent=1) as connection:
            connection.settimeout(HANGS)
            with connection.makefile("rb") as received:
                answer = received.read()  # to the end of the connection
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"slow_request"' in answer
        until(lambda: server.metric('carve_requests_total{outcome="slow_request"}') == 1)
        assert server.metric("carve_queue_length") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves(stream: bool, vlm: HeldCarve, pocket: Carve) -> None:
    with holding(vlm, workers=1) as server:
        with begun(server, chat(stream=stream)) as connection:
            until_busy(server, waiting=0)
            if stream:
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        until(lambda: server.metric('carve_requests_total{outcome="client_left"}') == 1)
        vlm.gate.set()
        until(lambda: vlm.left == 1)
        works_again(server, vlm, pocket)


def test_openais_client_leaves_a_stream(vlm: HeldCarve, pocket: Carve) -> None:
    with holding(vlm, workers=1) as server:
        fields: dict[str, Any] = {"model": MODEL, "messages": messages(), "stream": True}
        with server.client().chat.completions.create(**fields) as stream:
            next(iter(stream))
        until(lambda: server.metric('carve_requests_total{outcome="client_left"}') == 1)
        vlm.gate.set()
        until(lambda: vlm.left == 1)
        works_again(server, vlm, pocket)


def test_clients_that_leave_the_queue(vlm: HeldCarve, pocket: Carve) -> None:
    """Nothing is left of them, while the one before them still runs."""
    with holding(vlm, workers=1, queue=8) as server, ExitStack() as first:
        first.enter_context(begun(server, chat()))
        until_busy(server, waiting=0)
        with ExitStack() as others:
            for _ in range(8):
                others.enter_context(begun(server, chat()))
            until_busy(server, waiting=8)
        until_busy(server, waiting=0)
        works_again(server, vlm, pocket)
        assert server.metric('carve_requests_total{outcome="client_left"}') == 8


def test_a_client_that_leaves_while_it_sends(vlm: HeldCarve, pocket: Carve) -> None:
    with holding(vlm, workers=1) as server:
        with begun(server, chat(), sent=1):
            until(lambda: server.metric("carve_queue_length") == 1)
        until(lambda: server.metric('carve_requests_total{outcome="client_left"}') == 1)
        works_again(server, vlm, pocket)


def test_an_answer_that_nobody_reads_loses_its_place() -> None:
    """Here the app waits for ever, as it does where a client's window is full."""
    workers = Workers(1, 0)
    metrics = Metrics(lambda: 0, lambda: 0, lambda: 0)
    options = ServeOptions(model=MODEL, seconds=0.05)

    async def app(*_: object) -> None:
        assert workers.waiting == 1
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(_: object) -> None:
        pass

    guard = Guard(app, options=options, port=80, workers=workers, metrics=metrics)
    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"host", b"localhost:80")],
    }
    asyncio.run(asyncio.wait_for(guard(scope, receive, send), SOON))
    assert workers.waiting == 0


def test_nothing_is_kept_of_a_job_that_was_stopped_while_it_waited() -> None:
    """Its picture neither, although the one before it goes on."""
    gate = Event()
    pictures: list[weakref.ref[Picture]] = []

    def hold(*_: object) -> None:
        assert gate.wait(HANGS)

    def picture() -> Any:
        made = Picture()
        pictures.append(weakref.ref(made))
        return made

    async def run() -> bool:
        workers = Workers(1, 1)
        first = workers.start(Source(bytes), hold)
        await turns(lambda: workers.running == 1)
        second = workers.start(Source(picture, waits=True), hold)
        await turns(lambda: len(pictures) == 1)
        second.stop(ClientLeftError("the client went away", "ask again"))
        await turns(lambda: False, most=20)
        gc.collect()
        freed, running = pictures[0]() is None, workers.running
        gate.set()
        await first.answer
        workers.close()
        return freed and running == 1

    assert asyncio.run(run())


def test_sites_that_answer_nobody_do_not_stop_pictures_in_requests() -> None:
    """A fetch counts until its thread ends; what needs none is answered meanwhile."""
    gate, entered = Event(), Event()

    def tarpit() -> bytes:
        entered.set()
        assert gate.wait(HANGS)
        return b"picture"

    def work(picture: bytes, _: object) -> bytes:
        return picture

    async def run() -> None:
        workers = Workers(1, 0)
        left = workers.start(Source(tarpit, waits=True), work)
        await turns(entered.is_set)
        left.stop(ClientLeftError("the client went away", "ask again"))
        try:
            assert await asyncio.wait_for(workers.start(Source(bytes), work).answer, SOON) == b""
            with pytest.raises(BusyError, match="1 pictures are being fetched"):
                await workers.start(Source(tarpit, waits=True), work).answer
        finally:
            gate.set()
        await turns(lambda: workers._fetches._value == 1)
        assert await workers.start(Source(tarpit, waits=True), work).answer == b"picture"
        workers.close()

    asyncio.run(run())


async def turns(condition: Callable[[], bool], most: int = 3000) -> None:
    """Let the event loop go on until something is true, or for so many turns."""
    for _ in range(most):
        if condition():
            break
        await asyncio.sleep(0.01)


def test_the_end_waits_for_the_answers(
    vlm: HeldCarve, pocket: Carve, threads: ThreadPoolExecutor
) -> None:
    """What runs and what waits is answered, and nothing new is taken."""
    with holding(vlm, workers=1, queue=1) as server:
        asked = [threads.submit(ask, server) for _ in range(2)]
        until_busy(server, waiting=1)
        server.ending()
        with pytest.raises(httpx.HTTPError):
            until(lambda: server.get("health").status_code != 200)
        vlm.gate.set()
        for each in asked:
            answered(each.result(), pocket)
