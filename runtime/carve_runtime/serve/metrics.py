"""What Prometheus reads of a server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from carve_runtime.serve.answering import Answer

CONTENT_TYPE: str = CONTENT_TYPE_LATEST
#: The outcome of a request that was answered; the others are the codes of ``refusals.REPLIES``.
ANSWERED = "answered"
#: Seconds: from a small model's pass to the time limit of a large one.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(
        self,
        waiting: Callable[[], int],
        running: Callable[[], int],
        cache_bytes: Callable[[], int],
    ) -> None:
        """Register everything; the functions are called when somebody reads."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "carve_requests", "Chat requests by outcome.", ["outcome"], registry=registry
        )
        self._stages = Histogram(
            "carve_stage_seconds",
            "Seconds of an answer by stage; total is without the wait in the queue.",
            ["stage"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._latency = Histogram(
            "carve_request_seconds",
            "Seconds from a chat request's arrival to its end, whatever its outcome.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "carve_tokens",
            "Positions that the decoder computed for prompts, and tokens of answers.",
            ["kind"],
            registry=registry,
        )
        for name, text, read in (
            ("carve_queue_length", "Requests that are being received or wait.", waiting),
            ("carve_running", "Answers that are being made.", running),
            ("carve_image_cache_bytes", "Bytes held for images asked about before.", cache_bytes),
        ):
            Gauge(name, text, registry=registry).set_function(read)
        ProcessCollector(registry=registry)

    def answered(self, answer: Answer) -> None:
        """Count an answer's stages and tokens."""
        for stage, seconds in answer.timings.items():
            self._stages.labels(stage).observe(seconds)
        self._tokens.labels("prompt").inc(answer.usage["prompt_tokens"])
        self._tokens.labels("answer").inc(answer.tokens)

    def ended(self, outcome: str, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(outcome).inc()
        self._latency.observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        text: bytes = generate_latest(self._registry)
        return text
