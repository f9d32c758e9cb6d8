"""Scout mode on a photograph of 12 megapixels against the plain answer at the full budget."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tools.bench.context import Context
from tools.bench.native_subject import FULL_TOKENS, TOKEN_PIXELS, native_proportions
from tools.shared.figures import Figure
from tools.shared.timing import Way, interleave, ratio, spread

_TOKENS = 4  # of each answer
_REACH = 0.6
#: Tokens that the attention passes, and the final pass, see; the first is the one with a bound.
_BUDGETS = ((256, 320), (128, 256), (256, 640), (512, 640), (FULL_TOKENS, FULL_TOKENS))


def measure(context: Context) -> Iterator[Figure]:
    """Yield the ratio for each budget."""
    if context.quick:
        note = "pocket sees every image at one size: no part of the smoke test"
        yield Figure("scout / plain, 12 megapixels", "pocket", None, note=note)
        return
    subject = native_proportions(context.work)
    vlm = subject.load()
    ways: dict[str, Way] = {
        "plain": partial(vlm.plain, subject.image, subject.question, max_new_tokens=_TOKENS)
    }
    for scout, final in _BUDGETS:
        settings: Any = {
            "steps": "first",
            "final_prompt": "refined",
            "max_new_tokens": _TOKENS,
            "scout_pixels": scout * TOKEN_PIXELS,
            "final_pixels": final * TOKEN_PIXELS,
        }
        ways[f"{scout} + {final}"] = partial(vlm.ask, subject.image, subject.question, **settings)
    seconds = interleave(ways, context.rounds)
    yield Figure("plain", subject.name, spread(seconds["plain"]), unit="s")
    for scout, final in _BUDGETS:
        case = f"{subject.name}: scout {scout}, final {final} tokens"
        value = ratio(seconds[f"{scout} + {final}"], seconds["plain"])
        reach = _REACH if (scout, final) == _BUDGETS[0] else None
        yield Figure("scout / plain, 12 megapixels", case, value, reach=reach)
