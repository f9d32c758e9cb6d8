"""The page's server: requests by a grammar, damaged, and broken off."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import strategies as st

from tests.fuzz.mutations import byte_edits, damaged
from tests.fuzz.node import Node
from tests.fuzz.surface import CrashError, ForeignError, RefusedError

_METHODS = ["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "CONNECT", "get", "X" * 99]
_PARTS = ["/", "..", "%2e%2e", "%2f", "%00", "page.html", "large", "outside", "%", "%ff", "\\", ":"]
_PARTS += ["//", "?", "#", "http://elsewhere", "empty", "é", "a" * 5000]
_HEADERS = [
    "Host: localhost",
    "Host: elsewhere:80",
    "Connection: close",
    "Range: bytes=0-",
    "Host:",
]
_HEADERS += ["Transfer-Encoding: chunked", "Content-Length: 99", "Expect: 100-continue", "X: " * 99]
#: What stands in an input for the server's own host, whose port is not known before.
_HOST = "HOST"
_SECRET, _PAGE = b"not to be served", b"a page"
_LARGE = 4 << 20
_SECONDS = 5.0
#: Until a request that the server takes for the beginning of one is broken off.
_PATIENCE = 0.1
_CHUNK = 1 << 16
#: Descriptors that the server may have open once all requests are over.
_MOST_OPEN = 100


def _request(drawn: tuple[str, list[str], list[str]]) -> bytes:
    method, path, headers = drawn
    head = [f"{method} /{''.join(path)} HTTP/1.1", f"Host: {_HOST}", *headers, "", ""]
    return "\r\n".join(head).encode()


_REQUESTS = st.tuples(
    st.sampled_from(_METHODS),
    st.sampled_from([["page.html"], ["large"]]) | st.lists(st.sampled_from(_PARTS), max_size=6),
    st.lists(st.sampled_from(_HEADERS), max_size=2),
).map(_request)


class _Server:
    inputs = _REQUESTS | _REQUESTS.flatmap(
        lambda data: byte_edits(len(data)).map(lambda edits: damaged(data, edits))
    )

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        (folder / "outside").write_bytes(_SECRET)
        (site / "page.html").write_bytes(_PAGE)
        (site / "large").write_bytes(bytes(_LARGE))
        (site / "empty").mkdir()
        self._node = Node("server.mjs", str(site))
        self._port = urlsplit(self._node.ready["address"]).port

    def use(self, data: bytes) -> None:
        """Send a request and break the answer off; the next visitor must be served."""
        answer = self._answer(data)
        if _SECRET in answer:
            raise ForeignError("a file outside the folder was served")
        page = self._answer(f"GET /page.html HTTP/1.1\r\nHost: {_HOST}\r\n\r\n".encode(), _SECONDS)
        if _PAGE not in page:
            raise ForeignError(f"the next visitor is answered {page[:200]!r}")
        open_files = len(list(Path(f"/proc/{self._node.pid}/fd").iterdir()))
        if open_files > _MOST_OPEN:
            raise CrashError(f"the server has {open_files} descriptors open")
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise RefusedError(repr(answer[:100]))

    def _answer(self, data: bytes, seconds: float = _PATIENCE) -> bytes:
        """Return the beginning of the answer; nothing where the server just closes."""
        received = b""
        try:
            with socket.create_connection(("127.0.0.1", self._port), seconds) as connection:
                host = f"localhost:{self._port}"
                connection.sendall(data.replace(_HOST.encode(), host.encode()))
                while _PAGE not in received and len(received) < _CHUNK:
                    chunk = connection.recv(_CHUNK)
                    if not chunk:
                        break
                    received += chunk
        except ConnectionRefusedError as error:
            raise CrashError("the server has ended") from error
        except (ConnectionError, TimeoutError):
            pass
        return received


def prepare(folder: Path) -> _Server:
    """Return the surface."""
    return _Server(folder)
