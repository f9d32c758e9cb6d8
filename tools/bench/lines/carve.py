"""CARVE against the plain answer of the same runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.bench.context import Context
from tools.bench.subjects import Subject
from tools.shared.figures import Figure
from tools.shared.timing import interleave, ratio, spread

_SHORT = 4  # tokens: answers up to here have a bound
_PAIR, _SECOND = 2.2, 1.2
_EARLY = 1.05  # plus the share of layers in the lower half


def measure(context: Context) -> Iterator[Figure]:
    """Yield the ratios of v4, early exit and a second question, for each forced answer length."""
    for subject in context.subjects:
        for length in context.lengths:
            yield from _ratios(subject, length, context.rounds)


def _ratios(subject: Subject, length: int, rounds: int) -> Iterator[Figure]:
    vlm = subject.load()
    image, question = subject.image, subject.question
    first: Any = {"steps": "first", "final_prompt": "refined", "max_new_tokens": length}
    v4: Any = {"variant": "v4", "final_prompt": "pair", "max_new_tokens": length}
    session = vlm.open(image)
    session.ask(question, **first)
    ways: dict[str, Any] = {
        "plain": lambda: vlm.plain(image, question, max_new_tokens=length),
        "v4, pair": lambda: vlm.ask(image, question, **v4),
        "second question, refined": lambda: session.ask(question, **first),
    }
    reach = {"v4, pair": _PAIR, "second question, refined": _SECOND}
    spec = vlm.manifest.decoder
    if spec.exit_layers is not None:
        early = first | {"early_exit": True}
        ways["early exit, refined"] = lambda: vlm.ask(image, question, **early)
        reach["early exit, refined"] = _EARLY + spec.exit_layers / spec.layers
        ways["second question, early exit"] = lambda: session.ask(question, **early)
        reach["second question, early exit"] = _SECOND
    seconds = interleave(ways, rounds)
    case = f"{subject.name}, {length} tokens"
    yield Figure("plain", case, spread(seconds["plain"]), unit="s")
    for name, bound in reach.items():
        value = ratio(seconds[name], seconds["plain"])
        yield Figure(name, case, value, reach=bound if length <= _SHORT else None)
    if spec.exit_layers is None:
        note = "the default layers reach the last one: the decoder is not split"
        yield Figure("early exit, refined", case, None, note=note)
