"""Answers over HTTP: JSON, events, errors."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi.responses import Response

from carve_models.errors import CarveError
from carve_runtime.serve.refusals import error_body, error_headers, reply_to


def json_response(
    document: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a document as JSON; what is not finite becomes null."""
    return Response(
        msgspec.json.encode(document), status, headers=headers, media_type="application/json"
    )


def error_response(error: CarveError) -> Response:
    """Return an error as OpenAI's clients read it."""
    return json_response(error_body(error), reply_to(error).status, error_headers(error))


def event(document: Any) -> bytes:
    """Return a document as a server-sent event."""
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


#: The event that ends a stream.
DONE = b"data: [DONE]\n\n"
