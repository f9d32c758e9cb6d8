"""Cost against image tokens, question length and questions per image; a plot of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.cache import Cache
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.usage import Counts
from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import interleave, spread
from tools.bench.stretches import stretch

_SUFFIX = 20
_MANY = 8


def measure(context: Context) -> Iterator[Figure]:
    """Yield the seconds of each term of the cost, and write ``scaling.png``."""
    image_tokens = (64, 256) if context.quick else (64, 256, 576, 1024, 2048, 4096)
    questions = (8, 64) if context.quick else (8, 16, 32, 64, 128, 256)
    terms = _Terms(context)
    by_tokens = {n: terms.of(n, _SUFFIX) for n in image_tokens}
    middle = image_tokens[len(image_tokens) // 2 - 1]
    by_question = {n: terms.of(middle, n) for n in questions}
    name = context.largest.name
    for tokens, found in by_tokens.items():
        for term, seconds in found.items():
            yield Figure(f"scaling: {term}", f"{name}, {tokens} image tokens", spread(seconds), "s")
    for length, found in by_question.items():
        case = f"{name}, {middle} image tokens, question of {length}"
        yield Figure("scaling: question", case, spread(found["question"]), "s")
    yield Figure("scaling", name, None, note=_dominates(by_tokens))
    _plot(context, by_tokens, by_question, middle)


class _Terms:
    """The decoder's share of one question through v4, term by term; vision comes on top."""

    def __init__(self, context: Context) -> None:
        bundle = open_bundle(context.largest.bundle)
        self._spec, self._rounds = bundle.manifest.decoder, context.rounds
        self._decoder = Decoder(bundle, BackendSettings())

    def of(self, image: int, question: int) -> dict[str, list[float]]:
        """Return the seconds of each term for so many image tokens and question tokens."""
        cache = self._decoder.empty(2 * image + question + 1)
        prefix = self._run(image, cache)().cache
        asked = self._run(question, prefix)().cache
        ways = {
            "prefix": self._run(image, cache),
            "question": self._run(question, prefix),
            "pair": self._run(image + question, prefix),
            "token": self._run(1, asked),
        }
        return interleave(ways, self._rounds)

    def _run(self, positions: int, cache: Cache) -> Callable[[], Step]:
        after = stretch(self._spec, positions, cache.length)
        return lambda: self._decoder.step(after, cache, Counts())


def _dominates(by_tokens: dict[int, dict[str, list[float]]]) -> str:
    """Say which term is the largest for which numbers of image tokens."""
    largest = {
        tokens: max(found, key=lambda term: float(np.median(found[term])))
        for tokens, found in by_tokens.items()
    }
    parts = [f"from {min(largest)} image tokens the {largest[min(largest)]}"]
    for before, after in pairwise(sorted(largest)):
        if largest[before] != largest[after]:
            parts.append(f"from {after} the {largest[after]}")
    return "the largest term is, " + ", ".join(parts)


def _plot(
    context: Context,
    by_tokens: dict[int, dict[str, list[float]]],
    by_question: dict[int, dict[str, list[float]]],
    middle: int,
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, center, right) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for term in next(iter(by_tokens.values())):
        medians = [np.median(terms[term]) for terms in by_tokens.values()]
        left.plot(list(by_tokens), medians, "o-", label=term)
    left.set(xlabel="image tokens", ylabel="seconds", xscale="log", yscale="log")
    left.legend()
    lengths = list(by_question)
    center.plot(lengths, [np.median(t["question"]) for t in by_question.values()], "o-")
    center.set(xlabel=f"question tokens, {middle} image tokens", ylabel="seconds")
    counts = range(1, _MANY + 1)
    right.plot(counts, _per_question(by_tokens[middle], counts), "o-", label="session")
    right.axhline(_per_question(by_tokens[middle], [1])[0], linestyle="--", label="alone")
    right.set(xlabel="questions about one image", ylabel="decoder seconds per question")
    right.legend()
    figure.savefig(context.work / "scaling.png", dpi=120)
    pyplot.close(figure)


def _per_question(terms: dict[str, list[float]], counts: Sequence[int]) -> list[float]:
    """Return the seconds per question: prefix and general pass are shared, the rest is not."""
    prefix, question, pair = (float(np.median(terms[t])) for t in ("prefix", "question", "pair"))
    return [(prefix + question) / count + question + pair for count in counts]
