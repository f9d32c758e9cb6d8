"""Servers on this machine, and what is sent to them."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import openai

from carve_runtime import Carve
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.server import address, configured, listen
from tests.support import SCENES
from tools.shared.server import serving

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"
MODEL = "pocket"
#: Seconds, many times what anything here takes.
HANGS = 120.0
#: The same for what an idle server does at once.
SOON = 30.0


#: Most bytes of a request to the server that the tests share.
BODY_BYTES = 1 << 20


@dataclass
class Server:
    """A server that listens.

    Attributes:
        url: its address.
        ending: ends it, as a signal does.
        http: a client without a key; several threads may use it.
    """

    url: str
    ending: Callable[[], None]
    http: httpx.Client

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        """Return OpenAI's client; it tries once."""
        given = {"max_retries": 0, "timeout": HANGS} | options
        return openai.OpenAI(base_url=f"{self.url}v1", api_key=key, **given)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(f"{self.url}{path}", **options)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        """Send a chat request: bytes as they are, all else as JSON."""
        how = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        url = f"{self.url}v1/chat/completions"
        return self.http.post(url, headers=headers, **how, **options)

    def metric(self, name: str) -> float:
        """Return one of the metrics' rows; 0 if it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def running(vlm: Carve, **options: Any) -> Iterator[Server]:
    """Run a server in a thread of this process; its end must wait for its answers."""
    chosen = ServeOptions(model=MODEL, port=0, **options)
    with listen(chosen) as listening:
        server = configured(vlm, chosen, listening)
        thread = Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()

        def end() -> None:
            server.should_exit = True

        try:
            with httpx.Client(timeout=HANGS) as http:
                yield Server(address(chosen, listening), end, http)
        finally:
            end()
            thread.join(HANGS)
            assert not thread.is_alive(), "the server does not end"


@contextmanager
def command(
    *arguments: object, **environment: str
) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    """Run ``carve-run serve`` with the default bundle."""
    with (
        serving("default", *arguments, **environment) as (url, process),
        httpx.Client(timeout=HANGS) as http,
    ):
        yield Server(url, process.terminate, http), process


class HeldCarve(Carve):
    """Stops behind each token until its gate is open."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gate = Event()
        #: Answers that failed or were given up.
        self.left = 0

    def ask(self, *arguments: Any, on_token: Any = None, **changes: Any) -> Any:
        def held(token: Any) -> None:
            on_token(token)
            assert self.gate.wait(HANGS)

        try:
            return super().ask(*arguments, on_token=held, **changes)
        except Exception:
            self.left += 1
            raise


def data_url(image: Path | bytes = SCENE) -> str:
    data = image if isinstance(image, bytes) else image.read_bytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def messages(image: Path | bytes | str = SCENE, question: str = QUESTION) -> list[Any]:
    """Return the one message, about a picture or an address."""
    url = image if isinstance(image, str) else data_url(image)
    picture = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [picture, {"type": "text", "text": question}]}]


def chat(**fields: Any) -> dict[str, Any]:
    """Return a request."""
    return {"model": MODEL, "messages": messages()} | fields


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must become true."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


def answers(server: Server, **options: Any) -> None:
    done = server.post(chat(), **options)
    assert done.status_code == 200, done.text


def refused(response: httpx.Response, status: int, code: str, pattern: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == code
    assert re.search(pattern, error["message"], re.DOTALL), error["message"]
    assert error["message"].endswith(".")
    assert set(error) == {"message", "type", "param", "code"}
    return error
