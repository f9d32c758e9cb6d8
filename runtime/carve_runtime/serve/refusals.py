"""Errors of the server, and what each error becomes over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carve_models.errors import CarveError, ImageError, PromptError, RunError, SettingsError


class AddressError(CarveError):
    """The server cannot listen where it was told to."""


class RequestError(CarveError):
    """The request is malformed, or asks for something that the server cannot do."""

    def __init__(self, cause: str, remedy: str, param: str | None = None) -> None:
        """Say also which field of the request is meant."""
        super().__init__(cause, remedy)
        self.param = param


class ApiKeyError(CarveError):
    """The API key is missing or wrong."""


class UnknownModelError(CarveError):
    """The request names a model that is not served."""


class NotFoundError(CarveError):
    """There is nothing at this address."""


class MethodError(CarveError):
    """The address does not take this method."""


class HostError(CarveError):
    """The request was meant for another host."""


class TooLargeError(CarveError):
    """The request has too many bytes."""


class SlowRequestError(CarveError):
    """The request's body did not arrive in time."""


class BusyError(CarveError):
    """The queue is full."""

    def __init__(self, cause: str, remedy: str, retry_after: int) -> None:
        """Say also when to come back, in seconds."""
        super().__init__(cause, remedy)
        self.retry_after = retry_after


class TimeLimitError(CarveError):
    """The answer was not ready in time."""


class ClientLeftError(CarveError):
    """The client went away before the answer was ready; nobody reads this."""


class FaultError(CarveError):
    """Something that nobody expected has failed."""


@dataclass(frozen=True)
class Reply:
    """What an error becomes.

    Attributes:
        status: HTTP's.
        code: OpenAI's field ``code``, and the outcome that ``/metrics`` counts.
        kind: OpenAI's field ``type``.
        closes: whether the connection ends with it: the rest of the request may never come.
    """

    status: int
    code: str
    kind: str = "invalid_request_error"
    closes: bool = False


#: The most special class counts.
REPLIES: dict[type[CarveError], Reply] = {
    RequestError: Reply(400, "invalid_request"),
    SettingsError: Reply(400, "invalid_settings"),
    ImageError: Reply(400, "invalid_image"),
    PromptError: Reply(400, "invalid_prompt"),
    ApiKeyError: Reply(401, "invalid_api_key", "authentication_error"),
    NotFoundError: Reply(404, "not_found"),
    UnknownModelError: Reply(404, "model_not_found"),
    MethodError: Reply(405, "method_not_allowed"),
    SlowRequestError: Reply(408, "slow_request", closes=True),
    TooLargeError: Reply(413, "request_too_large"),
    HostError: Reply(421, "wrong_host"),
    BusyError: Reply(429, "queue_full", "rate_limit_error"),
    ClientLeftError: Reply(499, "client_left"),
    RunError: Reply(500, "run_failed", "server_error"),
    CarveError: Reply(500, "failed", "server_error"),
    FaultError: Reply(500, "internal_error", "server_error"),
    TimeLimitError: Reply(504, "time_limit", "server_error"),
}


def ours(error: Exception) -> CarveError:
    """Return an error itself if it is one of ours, else one that says no more than the log does."""
    if isinstance(error, CarveError):
        return error
    fault = FaultError("the server failed", "look into its log")
    fault.__cause__ = error
    return fault


def reply_to(error: CarveError) -> Reply:
    """Return what an error becomes."""
    return next(REPLIES[kind] for kind in type(error).__mro__ if kind in REPLIES)


def error_body(error: CarveError) -> dict[str, Any]:
    """Return OpenAI's error object."""
    reply, param = reply_to(error), getattr(error, "param", None)
    said = {"message": str(error), "type": reply.kind, "param": param, "code": reply.code}
    return {"error": said}


def error_headers(error: CarveError) -> dict[str, str]:
    """Return the headers that go with an error: OpenAI's clients would try again after some."""
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return {"Retry-After": str(retry_after)}
    closing = {"Connection": "close"} if reply_to(error).closes else {}
    return {"x-should-retry": "false"} | closing
