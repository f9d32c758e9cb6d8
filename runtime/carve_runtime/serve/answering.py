"""From a request to an answer, in a thread of its own; and the answer in OpenAI's words."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from carve_runtime.carve import Carve
from carve_runtime.prompt.request import OnToken, Stage
from carve_runtime.serve.extras import EXTRAS
from carve_runtime.serve.protocol import Ask

#: The pass whose text is the answer: with CARVE the last one of three, else the only one.
ANSWERING: dict[bool, Stage] = {False: "final", True: "question"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an ask has led to.

    Attributes:
        text: the answer.
        tokens: of the answer, its end apart.
        computed: positions that went through the decoder, of all passes.
        complete: whether the model ended it, and not the limit.
        timings: seconds by stage.
        carve: the object of that name.
    """

    text: str
    tokens: int
    computed: int
    complete: bool
    timings: dict[str, float]
    carve: dict[str, Any]

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's object: what was computed, so less for an image that was remembered."""
        prompt = max(self.computed - self.tokens, 0)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.tokens,
            "total_tokens": prompt + self.tokens,
        }

    @property
    def finish_reason(self) -> str:
        """OpenAI's word for why it ended."""
        return "stop" if self.complete else "length"


def answer(vlm: Carve, ask: Ask, image: bytes, on_token: OnToken) -> Answer:
    """Answer an ask; raises what :meth:`carve_runtime.Carve.ask` does."""
    return (_plain if ask.plain else _carve)(vlm, ask, image, on_token)


def _carve(vlm: Carve, ask: Ask, image: bytes, on_token: OnToken) -> Answer:
    result = vlm.ask(image, ask.question, variant=ask.variant, on_token=on_token, **ask.changes)
    extras = {name: EXTRAS[name](result) for name in ask.include}
    return Answer(
        text=result.answer,
        tokens=len(result.token_ids),
        computed=result.counts.decoder_tokens,
        complete=len(result.token_ids) < result.settings.max_new_tokens,
        timings=result.timings,
        carve=result.to_dict() | extras,
    )


def _plain(vlm: Carve, ask: Ask, image: bytes, on_token: OnToken) -> Answer:
    limit = ask.changes.get("max_new_tokens")
    result = vlm.plain(image, ask.question, max_new_tokens=limit, on_token=on_token)
    most = vlm.settings(**ask.changes).max_new_tokens
    return Answer(
        text=result.answer,
        tokens=len(result.token_ids),
        computed=result.counts.decoder_tokens,
        complete=len(result.token_ids) < most,
        timings=result.timings,
        carve=result.to_dict(),
    )


class Completion:
    """OpenAI's completion of one request, whole or in chunks."""

    def __init__(self, model: str) -> None:
        """Begin one."""
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, result: Answer) -> dict[str, Any]:
        """Return the completion."""
        message = {"role": "assistant", "content": result.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [{**choice, "finish_reason": result.finish_reason}],
            "usage": result.usage,
            "carve": result.carve,
        }

    def begin(self) -> dict[str, Any]:
        """Return the first chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, text: str) -> dict[str, Any]:
        """Return a chunk of the answer."""
        return self._chunk({"content": text})

    def end(self, result: Answer, *, include_usage: bool) -> list[dict[str, Any]]:
        """Return the last chunks; the very last one has the object ``carve``."""
        last = [self._chunk({}, result.finish_reason)]
        if include_usage:
            last.append({**self._chunk({}), "choices": [], "usage": result.usage})
        last[-1]["carve"] = result.carve
        return last

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
