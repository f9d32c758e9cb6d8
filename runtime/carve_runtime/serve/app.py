"""The application: what each address does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from carve_models.errors import CarveError
from carve_models.settings import shown
from carve_runtime.carve import Carve
from carve_runtime.serve.answering import ANSWERING, Answer, Completion, answer
from carve_runtime.serve.guard import CHAT, METRICS, Guard
from carve_runtime.serve.metrics import ANSWERED, CONTENT_TYPE, Metrics
from carve_runtime.serve.options import ServeOptions
from carve_runtime.serve.protocol import Ask, ChatRequest, refused_request
from carve_runtime.serve.refusals import (
    ClientLeftError,
    MethodError,
    NotFoundError,
    RequestError,
    TimeLimitError,
    UnknownModelError,
    error_body,
    ours,
    reply_to,
)
from carve_runtime.serve.replies import DONE, error_response, event, json_response
from carve_runtime.serve.sources import source_of
from carve_runtime.serve.workers import Job, Workers

#: Where the page that computes in the browser is.
BROWSER_PAGE = "/browser"
_LOG = logging.getLogger(__name__)
#: A page to try the server.
_PAGE = Path(__file__).parent / "page"


def make_app(vlm: Carve, options: ServeOptions, port: int) -> FastAPI:
    """Return the application.

    Args:
        vlm: answers.
        options: of the server.
        port: that it listens at.
    """
    workers = Workers(options.workers, options.queue)
    metrics = Metrics(
        waiting=lambda: workers.waiting,
        running=lambda: workers.running,
        cache_bytes=lambda: vlm.image_cache_nbytes,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title="carve-vlm", docs_url=None, redoc_url=None, lifespan=lifespan, redirect_slashes=False
    )
    service = _Service(vlm, options, workers, metrics)
    app.add_api_route(CHAT, service.chat, methods=["POST"])
    app.add_api_route("/v1/models", service.models, methods=["GET"])
    app.add_api_route("/v1/models/{model:path}", service.model, methods=["GET"])
    app.add_api_route("/health", service.health, methods=["GET"])
    app.add_api_route(METRICS, service.metrics, methods=["GET"])
    if options.site is not None:
        app.mount(BROWSER_PAGE, StaticFiles(directory=options.site, html=True))
    for path in sorted(_PAGE.iterdir()):
        name = "" if path.name == "index.html" else path.name
        methods = ["GET", "HEAD"]
        app.add_api_route(f"/{name}", _sender(path), methods=methods, include_in_schema=False)
    app.add_exception_handler(CarveError, _failed)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _not_here)
    app.add_middleware(Guard, options=options, port=port, workers=workers, metrics=metrics)
    return app


class _Service:
    """What the addresses do."""

    def __init__(
        self, vlm: Carve, options: ServeOptions, workers: Workers, metrics: Metrics
    ) -> None:
        self._vlm, self._options, self._workers, self._metrics = vlm, options, workers, metrics
        self._started = int(time())

    async def chat(self, request: Request, body: ChatRequest) -> Response:
        deadline: float = request.state.deadline  # only there with a place: no job without one
        self._require_model(body.model)
        ask = body.read()
        self._vlm.settings(variant=ask.variant, **ask.changes)  # refused before it waits
        source = source_of(ask.image, self._options.remote)
        job = self._workers.start(source, partial(answer, self._vlm, ask))
        self._limit(job, request, deadline)
        completion = Completion(body.model)
        if body.stream:
            await job.began.wait()
            if job.answer.done():
                await job.answer  # an error has a status of its own as long as nothing is sent
            chunks = self._chunks(request, job, ask, completion, body.include_usage)
            return StreamingResponse(chunks, media_type="text/event-stream")
        return json_response(completion.whole(await self._answer(job, request)))

    async def models(self) -> Response:
        return json_response({"object": "list", "data": [self._model()]})

    async def model(self, model: str) -> Response:
        self._require_model(model)
        return json_response(self._model())

    async def health(self) -> Response:
        site = None if self._options.site is None else f"{BROWSER_PAGE}/"
        return json_response({"status": "ok", "model": self._options.model, "browser_page": site})

    async def metrics(self) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    def _limit(self, job: Job[Answer], request: Request, deadline: float) -> None:
        """Let a job end at its time limit, and when the client leaves."""
        late = TimeLimitError(
            f"the answer was not ready after {self._options.seconds:g} s",
            "ask for fewer tokens, send a smaller picture, or raise --seconds",
        )
        loop = asyncio.get_running_loop()
        timer = loop.call_later(deadline - monotonic(), job.stop, late)
        watch = loop.create_task(_stop_when_left(job, request))
        job.answer.add_done_callback(lambda _: timer.cancel())
        job.answer.add_done_callback(lambda _: watch.cancel())

    async def _answer(self, job: Job[Answer], request: Request) -> Answer:
        result = await job.answer
        self._metrics.answered(result)
        request.state.outcome = ANSWERED
        return result

    async def _chunks(
        self,
        request: Request,
        job: Job[Answer],
        ask: Ask,
        completion: Completion,
        include_usage: bool,
    ) -> AsyncIterator[bytes]:
        """Yield a stream's events."""
        try:
            yield event(completion.begin())
            told = False
            async for token in job.tokens():
                if token.stage == ANSWERING[ask.plain]:
                    told = True
                    yield event(completion.text(token.text))
            result = await self._answer(job, request)
            if not told and result.text:  # the plain answer, which adaptive has kept
                yield event(completion.text(result.text))
            for chunk in completion.end(result, include_usage=include_usage):
                yield event(chunk)
            yield DONE
        except Exception as error:  # the status has been sent: the stream says it
            said = ours(error)
            _note(said, request)
            yield event(error_body(said))
        finally:
            job.stop(_left())

    def _model(self) -> dict[str, Any]:
        manifest = self._vlm.manifest
        return {
            "id": self._options.model,
            "object": "model",
            "created": self._started,
            "owned_by": "carve-vlm",
            "carve": {"family": manifest.family, "settings": asdict(manifest.defaults)},
        }

    def _require_model(self, name: str) -> None:
        if name != self._options.model:
            raise UnknownModelError(
                f"there is no model {shown(name)} here", f"ask for {self._options.model!r}"
            )


def _sender(path: Path) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return FileResponse(path)

    return send


async def _stop_when_left(job: Job[Answer], request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.stop(_left())


def _left() -> ClientLeftError:
    return ClientLeftError("the client went away", "ask again")


def _note(error: CarveError, request: Request) -> None:
    """Say what came of a request: to the metrics, and to the log if it is our fault."""
    reply = reply_to(error)
    request.state.outcome = reply.code
    if reply.status == 500:
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)


async def _failed(request: Request, error: Exception) -> Response:
    return _reply(request, ours(error))


def _reply(request: Request, error: CarveError) -> Response:
    _note(error, request)
    return error_response(error)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "none")
    if "json" not in kind:  # FastAPI takes such a body for text
        cause = f"the Content-Type is {shown(kind)}"
        return _reply(request, RequestError(cause, "send Content-Type: application/json"))
    return _reply(request, refused_request(error.errors()))


async def _not_here(request: Request, error: Exception) -> Response:
    """Answer where Starlette finds no address, and where FastAPI cannot read a body."""
    assert isinstance(error, HTTPException)
    path = shown(request.url.path)
    errors: dict[int, CarveError] = {
        400: RequestError("the body cannot be read as JSON", "send a JSON object"),
        404: NotFoundError(f"there is nothing at {path}", "see docs/serve.md for the addresses"),
        405: MethodError(f"{path} does not take {request.method}", "use another method"),
    }
    return _reply(request, errors.get(error.status_code, ours(error)))
