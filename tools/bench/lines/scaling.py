"""Cost against image tokens, question length and questions per image; a plot of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from carve_runtime.bundle import open_bundle
from tools.bench.context import Context
from tools.shared.figures import Figure
from tools.shared.models.decoder_steps import DecoderSteps
from tools.shared.timing import interleave, spread

SCALING_PLOT = "scaling.png"
_SUFFIX = 20
_MANY = 8


def measure(context: Context) -> Iterator[Figure]:
    """Yield the seconds of each term of the cost, and write ``scaling.png``."""
    image_tokens = (64, 256) if context.quick else (64, 256, 576, 1024, 2048, 4096)
    questions = (8, 64) if context.quick else (8, 16, 32, 64, 128, 256)
    middle = image_tokens[len(image_tokens) // 2 - 1]
    steps = DecoderSteps(open_bundle(context.largest.bundle), middle)
    terms = partial(_terms, steps, context.rounds)
    by_tokens = {tokens: terms(tokens, _SUFFIX) for tokens in image_tokens}
    by_question = {length: terms(middle, length) for length in questions}
    name = context.largest.name
    for tokens, by_term in by_tokens.items():
        for term, seconds in by_term.items():
            yield Figure(f"scaling: {term}", f"{name}, {tokens} image tokens", spread(seconds), "s")
    for length, by_term in by_question.items():
        case = f"{name}, {middle} image tokens, question of {length}"
        yield Figure("scaling: question", case, spread(by_term["question"]), "s")
    yield Figure("scaling", name, None, note=_dominates(by_tokens))
    _plot(context, by_tokens, by_question, middle)


def _terms(steps: DecoderSteps, rounds: int, image: int, question: int) -> dict[str, list[float]]:
    """Return the seconds of the decoder's share of one question through v4, term by term.

    Args:
        steps: the decoder.
        rounds: of each term.
        image: image tokens; vision comes on top.
        question: tokens of the question.
    """
    steps.allocate(2 * image + question + 1)
    ways = {
        "prefix": steps.way(image),
        "question": steps.way(question, image),
        "pair": steps.way(image + question, image),
        "token": steps.way(1, image + question),
    }
    return interleave(ways, rounds)


def _dominates(by_tokens: dict[int, dict[str, list[float]]]) -> str:
    """Say which term is the largest for which numbers of image tokens."""
    largest = {
        tokens: max(seconds, key=lambda term: float(np.median(seconds[term])))
        for tokens, seconds in by_tokens.items()
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
    figure.savefig(context.work / SCALING_PLOT, dpi=120)
    pyplot.close(figure)


def _per_question(terms: dict[str, list[float]], counts: Sequence[int]) -> list[float]:
    """Return the seconds per question: prefix and general pass are shared, the rest is not."""
    prefix, question, pair = (float(np.median(terms[t])) for t in ("prefix", "question", "pair"))
    return [(prefix + question) / count + question + pair for count in counts]
