"""Fetch a picture that a stranger's request names, without reaching what strangers may not.

An address is looked up once, judged, and then connected to by number, so that nobody can have it
point elsewhere in between. Each redirect is a new address. Proxies are not used: behind one, nobody
could tell where a connection ends.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address, ip_network
from threading import Timer
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

from carve_models.errors import ImageError, first_line
from carve_models.settings import shown
from carve_runtime.serve.options import RemoteOptions

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_CHUNK = 1 << 16
#: Not public, whatever Python says of them: what stands for an address of IPv4, as it is (::/8) or
#: behind a gateway, which may be private; and the private networks of IPv6's first years.
_REFUSED = tuple(map(ip_network, ("::/8", "2002::/16", "fec0::/10")))
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "carve-vlm"}
_REMEDY = "send the picture as a data URL"


def fetch(url: str, options: RemoteOptions) -> bytes:
    """Return the bytes behind an address.

    Raises:
        ImageError: not http or https, a private address, too many bytes, redirects or seconds, or
            no picture there.
    """
    deadline = monotonic() + options.seconds
    for _ in range(_MOST_REDIRECTS + 1):
        with _answered(_checked(url), options, deadline) as response:
            if response.status not in _REDIRECTS:
                return _read(response, options)
            url = urljoin(url, response.getheader("Location") or "")
    raise ImageError(f"image_url is redirected more than {_MOST_REDIRECTS} times", _REMEDY)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not match
        known = False
    if not known or parts.username is not None or not url.isascii() or not url.isprintable():
        raise ImageError(f"image_url leads to {shown(url)}", "give an http or https address")
    return parts


def public(address: str) -> bool:
    """Return whether an address, a number, is one that everybody can reach."""
    number = ip_address(address)
    refused = any(number in network for network in _REFUSED)
    return number.is_global and not number.is_multicast and not refused


@contextmanager
def _answered(
    parts: SplitResult, options: RemoteOptions, deadline: float
) -> Iterator[HTTPResponse]:
    """Send a request; the connection is cut off at the deadline, whatever it is doing."""
    name = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    try:
        connection = _connected(name, port, options, deadline)
        timer = Timer(max(deadline - monotonic(), 0.0), lambda: _cut(connection))
        timer.daemon = True
        timer.start()
        try:
            request = HTTPConnection(name, port)
            if parts.scheme == "https":
                request = HTTPSConnection(name, port)
                secure = ssl.create_default_context().wrap_socket(
                    connection, server_hostname=name, do_handshake_on_connect=False
                )
                connection = secure
                secure.do_handshake()
            request.sock = connection
            path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            request.request("GET", path, headers=_HEADERS)
            yield request.getresponse()
            if monotonic() >= deadline:  # what was cut off may look complete
                raise TimeoutError
        finally:
            timer.cancel()
            connection.close()
    except ImageError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        late = monotonic() >= deadline
        cause = f"it took more than {options.seconds:g} s" if late else first_line(error)
        raise ImageError(f"image_url cannot be fetched: {cause}", _REMEDY) from error


def _connected(name: str, port: int, options: RemoteOptions, deadline: float) -> socket.socket:
    """Return a connection to one of a name's addresses, after a look at all of them."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    places = [(str(place[0]), port) for *_, place in found]
    if not options.private and not all(public(address) for address, _ in places):
        raise ImageError("image_url leads into a private network", _REMEDY)
    for place in places[:-1]:
        try:
            return socket.create_connection(place, _left(deadline))
        except OSError:  # the next one may be reachable
            continue
    return socket.create_connection(places[-1], _left(deadline))


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread waits for, an encrypted one below its encryption."""
    with suppress(OSError):  # it has ended
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _read(response: HTTPResponse, options: RemoteOptions) -> bytes:
    if response.status != 200:
        raise ImageError(f"image_url is answered with status {response.status}", _REMEDY)
    data = bytearray()
    while chunk := response.read(min(_CHUNK, options.max_bytes + 1 - len(data))):
        data += chunk
        if len(data) > options.max_bytes:
            raise ImageError(
                f"the picture at image_url has more than {options.max_bytes} bytes", _REMEDY
            )
    if response.length:
        raise ImageError("image_url is answered with half a picture", _REMEDY)
    return bytes(data)
