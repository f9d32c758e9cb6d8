"""Listen, serve until a signal, and let what is running end."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn

from carve_models.errors import first_line
from carve_runtime.carve import Carve
from carve_runtime.serve.app import make_app
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.refusals import AddressError

#: Seconds beyond the time limit of a request that an end waits for it.
_GRACE = 5
#: Most connections at a time, idle ones included; more are answered 503.
_CONNECTIONS = 1024


def listen(options: ServeOptions) -> socket.socket:
    """Return a socket at the server's address.

    Raises:
        AddressError: the port is in use, or the address is none of this machine.
    """
    place = (options.host, options.port)
    try:
        family = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(place, family=family)
    except OSError as error:
        why = (error.strerror or first_line(error)).partition(" (while")[0]  # Python adds the place
        raise AddressError(
            f"the server cannot listen at {options.host}, port {options.port}: {why}",
            "choose another --port or --host, or end what uses it",
        ) from error


def configured(
    vlm: Carve, options: ServeOptions, listening: socket.socket, *, access_log: bool = False
) -> uvicorn.Server:
    """Return the server that listens there, to be started."""
    config = uvicorn.Config(
        make_app(vlm, options, listening.getsockname()[1]),
        log_level="info" if access_log else "warning",
        access_log=access_log,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        server_header=False,
        timeout_graceful_shutdown=int(options.seconds) + _GRACE,
    )
    return uvicorn.Server(config)


def serve(vlm: Carve, options: ServeOptions, listening: socket.socket, *, access_log: bool) -> None:
    """Serve until SIGTERM or SIGINT; answers that are under way end first."""
    server = configured(vlm, options, listening, access_log=access_log)
    # uvicorn raises the signal again at its end, for the handlers that it has found: the end was
    # asked for, so it is none of an error.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)
    asyncio.run(server.serve(sockets=[listening]))


def address(options: ServeOptions, listening: socket.socket) -> str:
    """Return what to open in a browser."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{listening.getsockname()[1]}/"
