"""Pictures that lie elsewhere: fetched if allowed, and never from where strangers may not go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from carve_models.errors import ImageError
from carve_runtime import Carve
from carve_runtime.serve.options import RemoteOptions
from carve_runtime.serve.remote import fetch, public
from tests.runtime.serve.serving import (
    MODEL,
    QUESTION,
    SCENE,
    chat,
    messages,
    running,
)

DATA = SCENE.read_bytes()
#: Two different addresses of this machine, so that a redirect can lead from one to the other.
HERE = "127.0.0.1"
OPEN = RemoteOptions(allowed=True, private=True, seconds=20.0)


class Elsewhere(BaseHTTPRequestHandler):
    """Answers as its paths say."""

    protocol_version = "HTTP/1.1"
    over = Event()

    def do_GET(self) -> None:
        kind, _, rest = self.path.lstrip("/").partition("/")
        getattr(self, f"_{kind}")(rest)

    def log_message(self, *_: object) -> None:
        pass

    def _start(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _picture(self, _: str) -> None:
        self._start(200, Content_Length=len(DATA), Content_Type="image/jpeg")
        self.wfile.write(DATA)

    def _chunked(self, _: str) -> None:
        self._start(200, Transfer_Encoding="chunked")
        self.wfile.write(f"{len(DATA):x}\r\n".encode() + DATA + b"\r\n0\r\n\r\n")

    def _until_closed(self, _: str) -> None:
        self._start(200, Connection="close")
        self.wfile.write(DATA)
        self.close_connection = True

    def _half(self, _: str) -> None:
        self._start(200, Content_Length=len(DATA))
        self.wfile.write(DATA[: len(DATA) // 2])
        self.close_connection = True

    def _to(self, rest: str) -> None:
        self._start(302, Location=rest, Content_Length=0)

    def _nowhere(self, _: str) -> None:
        self._start(302, Content_Length=0)

    def _loop(self, _: str) -> None:
        self._start(307, Location="/loop", Content_Length=0)

    def _endless(self, _: str) -> None:
        self._start(200, Connection="close")
        self.close_connection = True
        chunk = bytes(1 << 20)
        for _chunk in range(100):
            self.wfile.write(chunk)

    def _slow(self, _: str) -> None:
        """A byte now and then, for ever."""
        self._start(200, Connection="close")
        self.close_connection = True
        while not self.over.wait(0.05):
            self.wfile.write(b"\xff")
            self.wfile.flush()

    def _slow_headers(self, _: str) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.over.wait(0.05):
            self.wfile.write(b"X: y\r\n")
            self.wfile.flush()

    def _missing(self, _: str) -> None:
        self._start(404, Content_Length=0)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Those who went away are expected."""


@contextmanager
def elsewhere() -> Iterator[str]:
    with Quiet((HERE, 0), Elsewhere) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HERE}:{server.server_port}/"
        finally:
            Elsewhere.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with elsewhere() as site:
        yield site


@pytest.mark.parametrize(
    "path", ["picture", "chunked", "until_closed", "to//picture", "to/{}picture"]
)
def test_a_picture(path: str, site: str) -> None:
    assert fetch(site + path.format(site), OPEN) == DATA


REFUSED = {
    "half": "cannot be fetched: IncompleteRead|half a picture",
    "missing": "answered with status 404",
    "loop": "redirected more than 3 times",
    "to/file:///etc/passwd": "leads to 'file:///etc/passwd'",
    "to/ftp://127.0.0.1/x": "leads to 'ftp:",
    "to/http://user:word@127.0.0.1/x": "leads to 'http://user",
    "to/http://[::1/x": "leads to|cannot be fetched",
    "nowhere": "redirected more than",
    "endless": "more than 20971520 bytes",
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_refused(path: str, site: str) -> None:
    with pytest.raises(ImageError, match=REFUSED[path]):
        fetch(site + path, OPEN)


@pytest.mark.parametrize("path", ["slow", "slow_headers"])
def test_a_site_that_never_ends(path: str, site: str) -> None:
    start = time.monotonic()
    with pytest.raises(ImageError, match=r"took more than 0\.5 s"):
        fetch(site + path, RemoteOptions(allowed=True, private=True, seconds=0.5))
    assert time.monotonic() - start < 30  # and not for ever


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///x",
        "http://h:0/",
        "http://h:x/",
        "http://h:99999/",
        "http://ä/",
        "http://a\nb/",
    ],
)
def test_no_address(url: str) -> None:
    with pytest.raises(ImageError, match="leads to "):
        fetch(url, OPEN)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1", "172.16.0.1"),
        *("169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "224.0.0.1", "240.0.0.1"),
        *("[::ffff:100.100.100.200]", "[::ffff:192.0.0.8]", "[::100.100.100.200]", "[fec0::2]"),
        *("[64:ff9b:1::1]", "[::ffff:0:100.100.100.200]", "[2001:0:6464:64c8::1]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "255.255.255.255"),
    ],
)
def test_private_networks(host: str) -> None:
    """However they are written; no connection is tried."""
    with pytest.raises(
        ImageError, match=r"leads into a private network|cannot be fetched: .*[Nn]ame"
    ):
        fetch(f"http://{host}:9/x", RemoteOptions(allowed=True))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_public_networks(address: str) -> None:
    assert public(address)


def test_a_redirect_into_a_private_network(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address counts as public here; the one that it leads to does not."""
    monkeypatch.setattr("carve_runtime.serve.remote.public", lambda address: address == HERE)
    options = RemoteOptions(allowed=True, seconds=20.0)
    assert fetch(f"{site}picture", options) == DATA
    with pytest.raises(ImageError, match="leads into a private network"):
        fetch(f"{site}to/http://127.0.0.2:9/picture", options)


def test_a_name_with_two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is public does not hide one that is not."""
    found = [(0, 0, 0, "", ("1.1.1.1", 9)), (0, 0, 0, "", ("10.0.0.1", 9))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("it connects"))
    with pytest.raises(ImageError, match="leads into a private network"):
        fetch("http://two.example/x", RemoteOptions(allowed=True))


def test_the_server(site: str, pocket: Carve) -> None:
    request = chat(messages=messages(f"{site}picture"))
    with running(pocket) as server:
        assert server.post(request).json()["error"]["code"] == "invalid_image"
    with running(pocket, remote=RemoteOptions(allowed=True)) as server:
        assert "private network" in server.post(request).json()["error"]["message"]
    with running(pocket, remote=OPEN) as server:
        client = server.client()
        done = client.chat.completions.create(model=MODEL, messages=messages(f"{site}picture"))
        assert done.choices[0].message.content == pocket.ask(SCENE, QUESTION).answer
        broken = server.post(chat(messages=messages(f"{site}half")))
        assert broken.status_code == 400
        assert server.post(request).status_code == 200
