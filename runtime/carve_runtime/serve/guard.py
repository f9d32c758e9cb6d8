"""What every request passes before anything reads it: host, API key, a place, its size."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any, TypeAlias

import anyio

from carve_models.settings import shown
from carve_runtime.serve.metrics import Metrics
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.refusals import (
    REPLIES,
    ApiKeyError,
    ClientLeftError,
    HostError,
    NotFoundError,
    SlowRequestError,
    TooLargeError,
    ours,
    reply_to,
)
from carve_runtime.serve.replies import error_response
from carve_runtime.serve.workers import Workers

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger(__name__)
CHAT = "/v1/chat/completions"
METRICS = "/metrics"
#: What the API key opens.
_LOCKED = ("/v1/", METRICS)
#: Most bytes of a body before its picture, and as many behind it: what is no string takes many
#: times its size once it is read, and its errors take more.
_BESIDE = 64 << 10
#: A part of a picture in base64, written in JSON.
_PICTURE = re.compile(rb"[A-Za-z0-9+/=\\]*")
#: Pages load and run their own files; WebAssembly is compiled, nothing else is evaluated.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # With these a page may use several threads; without them it works with one.
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
)


class Guard:
    """ASGI middleware. It reads the body of a chat request, within its limits, for the app.

    What a client still sends when it is refused, uvicorn reads and drops.
    """

    def __init__(
        self,
        app: Any,
        *,
        options: ServeOptions,
        port: int,
        workers: Workers,
        metrics: Metrics,
    ) -> None:
        self._app, self._options, self._workers, self._metrics = app, options, workers, metrics
        self._hosts = options.hosts(port)
        self._key = None if options.api_key is None else options.api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        is_chat = (scope["method"], scope["path"]) == ("POST", CHAT)
        try:
            await (self._chat if is_chat else self._other)(scope, receive, send)
        except Exception as error:
            said = ours(error)
            if said is not error:  # nobody foresaw it
                _LOG.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            await error_response(said)(scope, receive, send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require(scope)
        await self._app(scope, receive, send)

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a chat request, and count it. Who answers it says in its state what came of it."""
        start = monotonic()
        state = scope.setdefault("state", {})
        state["outcome"] = REPLIES[ClientLeftError].code
        try:
            self._require(scope)
            with self._workers.place():
                state["deadline"] = start + self._options.seconds
                replay = _replayed(await self._body(scope, receive), receive)
                # The app keeps to its deadline; a client that does not read gets as long again.
                with anyio.move_on_after(2 * self._options.seconds):
                    await self._app(scope, replay, send)
        except Exception as error:
            state["outcome"] = reply_to(ours(error)).code
            raise
        finally:
            self._metrics.ended(state["outcome"], monotonic() - start)

    def _require(self, scope: Scope) -> None:
        """Raise :class:`CarveError` unless the request's host, path and key are right."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and host not in self._hosts:
            raise HostError(
                f"the request is for the host {shown(host)}",
                "use the address that the server printed, or start it with --allow-host",
            )
        if not scope["path"].isprintable():  # a route's pattern also matches before a last newline
            raise NotFoundError(
                f"there is nothing at {shown(scope['path'])}", "see docs/serve.md for the addresses"
            )
        if self._key is None or not scope["path"].startswith(_LOCKED):
            return
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + self._key):
            raise ApiKeyError(
                f"the API key is {'wrong' if given else 'missing'}",
                "send it as the header Authorization: Bearer KEY",
            )

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read a body, as far as it may go."""
        most, seconds = self._options.max_body_bytes, self._options.seconds
        too_large = TooLargeError(
            f"the request has more than {most} bytes",
            "send a smaller picture, or start the server with a larger --max-body-bytes",
        )
        if int(dict(scope["headers"]).get(b"content-length", 0)) > most:
            raise too_large
        body = bytearray()
        try:
            with anyio.fail_after(seconds):
                async for part in _parts(receive):
                    body += part
                    if len(body) > most:
                        raise too_large
        except TimeoutError as error:
            raise SlowRequestError(
                f"the request was not complete after {seconds:g} s", "send a smaller picture"
            ) from error
        if len(body) > 2 * _BESIDE and not _PICTURE.fullmatch(body, _BESIDE, len(body) - _BESIDE):
            raise TooLargeError(
                f"the request has more than {_BESIDE} bytes before or behind its picture",
                "send one picture and one question, and leave out what the answer does not need",
            )
        return bytes(body)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it arrives."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError("the client went away", "ask again")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was read before, and then what comes behind it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    """Return what sends every answer with the headers that keep browsers safe."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
        await send(message)

    return with_headers
