"""Compare exported graphs with the checkpoint that they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

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


@dataclass(frozen=True)
class Comparison:
    """One compared output.

    Attributes:
        graph: the graph that computes it.
        name: of the output, and of the prompt where there are several.
        difference: largest absolute difference.
        scale: largest absolute value of the reference, at least 1.
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
    times = watch.timings()
    single = len(images) == 1
    title = "" if single else f"{expected.title}, "
    rows = [
        _difference(
            names.VISION_ENCODER,
            f"{title}image features",
            np.concatenate([image.tokens for image in images], axis=1),
            np.concatenate(expected.features, axis=1),
            tolerance,
            times[names.VISION_ENCODER],
        ),
        _difference(
            names.EMBED_TOKENS,
            f"{title}prompt embeddings",
            prompt.embeds,
            expected.embeds,
            tolerance,
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
    logits, attention, same = [], [], []
    start, watch = 0, Stopwatch()
    for stop in stops:
        with watch.stage(names.DECODER):
            step = decoder.step(prompt.part(start, stop), cache, Counts())
        reference = expected.logits[stop - 1]
        logits.append(np.abs(step.logits - reference).max())
        same.append(step.logits.argmax() == reference.argmax())
        attention.append(np.abs(step.attention - expected.attention[:, stop - 1, :stop]).max())
        cache, start = step.cache, stop
    scale = max(1.0, float(np.abs(expected.logits).max()))
    seconds = watch.timings()[names.DECODER]
    return [
        Comparison(
            names.DECODER,
            f"logits, {title}",
            float(np.max(logits)),
            scale,
            tolerance,
            seconds,
            all(same),
        ),
        Comparison(
            names.DECODER,
            f"attention, {title}",
            float(np.max(attention)),
            1.0,
            tolerance,
            seconds,
        ),
    ]


def _difference(
    graph: str, name: str, actual: Array, expected: Array, tolerance: float, seconds: float
) -> Comparison:
    scale = max(1.0, float(np.abs(expected).max()))
    largest = float(np.abs(actual - expected).max())
    return Comparison(graph, name, largest, scale, tolerance, seconds)
