"""Compare exported graphs with the checkpoint that they were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_export.check.reference import Reference
from carve_models import names
from carve_models.errors import ParityError
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.decoder.model import Model
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts, Stopwatch

Array = NDArray[np.float32]
#: Arrays one by one, or the rows of one.
Arrays: TypeAlias = "Sequence[Array] | Array"

#: In half precision, how far the graphs may be from float32, relative to PyTorch's half precision.
HALF_MARGIN = 1.2


@dataclass(frozen=True)
class Comparison:
    """One compared output.

    Attributes:
        graph: the graph that computes it.
        name: of the output, and of the prompt where there are several.
        difference: largest absolute difference; in half precision the error relative to
            float32, root mean square.
        scale: largest absolute value of the reference, at least 1; in half precision the same
            error of what PyTorch computes in that type.
        tolerance: allowed difference, relative to ``scale``.
        seconds: time of the graph's runs.
        same_argmax: whether the largest logits are those of the reference; ``None`` for
            other outputs.
    """

    graph: str
    name: str
    difference: float
    scale: float
    tolerance: float
    seconds: float = 0.0
    same_argmax: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.difference <= self.tolerance * self.scale


def compare_outputs(
    bundle: Bundle, expected: Sequence[Reference], tolerance: float
) -> list[Comparison]:
    """Run a bundle's graphs on the references' inputs, in one shot and in chunks over a cache.

    A decoder that is split runs both in its halves and in one piece.
    """
    model = Model(bundle)
    decoders = {"": model.decoder}
    if bundle.manifest.decoder.exit_layers is not None:
        decoders[", in one piece"] = Decoder(bundle, BackendSettings(), whole=True)
    return [
        row
        for reference in expected
        for row in _compare_prompt(model, decoders, reference, tolerance)
    ]


def require_parity(rows: Sequence[Comparison]) -> None:
    """Raise :class:`ParityError` if any output differs by more than its tolerance."""
    failed = [row for row in rows if not row.passed]
    if failed:
        worst = failed[0]
        raise ParityError(
            f"{worst.name} differ from PyTorch's by {worst.difference:.3g} "
            f"(allowed {worst.tolerance * worst.scale:.3g})",
            "report the checkpoint's architecture; a larger --tolerance only hides it",
        )


def _compare_prompt(
    model: Model, decoders: Mapping[str, Decoder], expected: Reference, tolerance: float
) -> list[Comparison]:
    watch = Stopwatch()
    with watch.stage(names.VISION_ENCODER):
        images = [model.image_features(image, Counts()) for image in expected.images]
    with watch.stage(names.EMBED_TOKENS):
        prompt = model.embed(expected.parts, images)
    times, rounded = watch.timings(), expected.rounded
    single = len(images) == 1
    title = "" if single else f"{expected.title}, "
    rows = [
        Comparison(
            names.VISION_ENCODER,
            f"{title}image features",
            *_measure(
                [image.tokens for image in images],
                expected.features,
                None if rounded is None else (expected.features, rounded.features),
                tolerance,
            ),
            times[names.VISION_ENCODER],
        ),
        Comparison(
            names.EMBED_TOKENS,
            f"{title}prompt embeddings",
            *_measure(
                prompt.embeds,
                expected.embeds,
                None if rounded is None else (expected.embeds, rounded.embeds),
                tolerance,
            ),
            times[names.EMBED_TOKENS],
        ),
    ]
    length, prefix = prompt.length, expected.prefix_length
    schedules = {"one shot": [length], "chunked": [prefix, length - 1, length]}
    if single:
        schedules["token by token at the end"] = [prefix, *range(prefix + 1, length + 1)]
    for (how, decoder), (name, stops) in product(decoders.items(), schedules.items()):
        rows += _run_chunks(decoder, prompt, expected, stops, f"{title}{name}{how}", tolerance)
    return rows


def _run_chunks(
    decoder: Decoder,
    prompt: PromptChunk,
    expected: Reference,
    stops: list[int],
    title: str,
    tolerance: float,
) -> list[Comparison]:
    """Feed the prompt in chunks ending at ``stops``; compare at the end of each."""
    cache = decoder.empty(stops[-1])
    logits, attention = [], []
    start, watch = 0, Stopwatch()
    for stop in stops:
        with watch.stage(names.DECODER):
            step = decoder.step(prompt.part(start, stop), cache, Counts())
        logits.append(step.logits)
        attention.append(step.attention)
        cache, start = step.cache, stop
    seconds, rounded = watch.timings()[names.DECODER], expected.rounded
    scale = max(1.0, float(np.abs(expected.logits).max()))
    last = [stop - 1 for stop in stops]
    same = np.argmax(logits, axis=1) == expected.logits[last].argmax(axis=1)
    return [
        Comparison(
            names.DECODER,
            f"logits, {title}",
            *_measure(
                logits,
                [expected.logits[stop - 1] for stop in stops],
                None if rounded is None else (expected.logits, rounded.logits),
                tolerance,
                scale,
            ),
            seconds,
            bool(same.all()),
        ),
        Comparison(
            names.DECODER,
            f"attention, {title}",
            *_measure(
                attention,
                [expected.attention[:, stop - 1, :stop] for stop in stops],
                None if rounded is None else (_rows(expected), _rows(rounded)),
                tolerance,
            ),
            seconds,
        ),
    ]


def _rows(reference: Reference) -> Array:
    """Return the attention of each position to all, (S, L, S)."""
    rows: Array = reference.attention.swapaxes(0, 1)
    return rows


def _measure(
    actual: Arrays,
    exact: Arrays,
    baseline: tuple[Arrays, Arrays] | None,
    tolerance: float,
    scale: float | None = None,
) -> tuple[float, float, float]:
    """Return difference, scale and tolerance of an output, see :class:`Comparison`.

    In half precision the yardstick is PyTorch: the graph may not be much further from float32 than
    what PyTorch computes in the same type.

    Args:
        actual: what the graph computes, at some positions.
        exact: the same in float32.
        baseline: what PyTorch computes at every position, in float32 and in half precision;
            ``None`` if the bundle is in float32.
        tolerance: in float32.
        scale: in float32; that of ``exact`` if ``None``.
    """
    if baseline is None:
        largest = max(float(np.abs(left - right).max()) for left, right in _pairs(actual, exact))
        values = [1.0, *(float(np.abs(array).max()) for array in exact)]
        return largest, scale or max(values), tolerance
    wide, half = baseline
    return _relative_error(actual, exact), _relative_error(half, wide), HALF_MARGIN


def _relative_error(actual: Arrays, exact: Arrays) -> float:
    """Return the norm of the error relative to that of the exact result, root mean square."""
    errors = [
        np.linalg.norm(left.astype(np.float64) - right) / np.linalg.norm(right)
        for left, right in _pairs(actual, exact)
    ]
    return float(np.sqrt(np.square(errors).mean()))


def _pairs(left: Arrays, right: Arrays) -> Iterator[tuple[Array, Array]]:
    return zip(left, right, strict=True)
