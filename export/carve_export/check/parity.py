"""Compare exported graphs with the checkpoint that they were made from.

Graphs and PyTorch sum in different orders, so both round, and how much depends on the model: real
weights and deep models round a hundred times as much as small ones. The yardstick is therefore the
model's own rounding. Both are compared with the same model in float64, and the graphs may be
:data:`carve_export.check.MARGINS` times as far from it as PyTorch is in the bundle's own type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_export.check import MARGINS
from carve_export.check.reference import Reference
from carve_models import names
from carve_models.errors import ParityError
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.decoder.model import Model
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts, Stopwatch

Array = NDArray[np.floating[Any]]
#: Arrays one by one, or the rows of one.
Arrays: TypeAlias = "Sequence[Array] | Array"

#: A model whose own rounding is larger says nothing about its graphs: with the margin, a wrong
#: output could pass for a rounded one.
LARGEST_ROUNDING = 0.05


@dataclass(frozen=True)
class Comparison:
    """One compared output. Errors are relative to float64, root mean square over positions.

    Attributes:
        graph: the graph that computes it.
        name: of the output, and of the prompt where there are several.
        error: of the graph.
        rounding: PyTorch's own, in the bundle's type.
        margin: how many times ``rounding`` the error may be.
        seconds: time of the graph's runs.
        same_argmax: whether the largest logits are those of PyTorch in the bundle's type; ``None``
            for other outputs.
    """

    graph: str
    name: str
    error: float
    rounding: float
    margin: float
    seconds: float = 0.0
    same_argmax: bool | None = None

    @property
    def allowed(self) -> float:
        """The largest error that passes."""
        return self.margin * self.rounding

    @property
    def comparable(self) -> bool:
        """Whether PyTorch itself is near enough to float64 to be compared with; NaN never is."""
        return self.rounding <= LARGEST_ROUNDING

    @property
    def passed(self) -> bool:
        """Whether the error is allowed; NaN never is."""
        return self.comparable and self.error <= self.allowed


def compare_outputs(
    bundle: Bundle, expected: Sequence[Reference], margin: float | None = None
) -> list[Comparison]:
    """Run a bundle's graphs on the references' inputs, in one shot and in chunks over a cache.

    A decoder that is split runs both in its halves and in one piece.

    Args:
        bundle: the bundle.
        expected: of the checkpoint that it was made from, in the bundle's type.
        margin: how many times PyTorch's rounding the errors may be; that of the bundle's type in
            :data:`carve_export.check.MARGINS` if ``None``.
    """
    allowed = MARGINS[bundle.manifest.dtype] if margin is None else margin
    model = Model(bundle)
    decoders = {"": model.decoder}
    if bundle.manifest.decoder.exit_layers is not None:
        decoders[", in one piece"] = Decoder(bundle, BackendSettings(), whole=True)
    return [
        row
        for reference in expected
        for row in _compare_prompt(model, decoders, reference, allowed)
    ]


def require_parity(rows: Sequence[Comparison]) -> None:
    """Raise :class:`ParityError` if any output is farther from float64 than its margin allows."""
    failed = [row for row in rows if not row.passed]
    if not failed:
        return
    first = failed[0]
    if not first.comparable:
        raise ParityError(
            f"{first.name} cannot be compared: PyTorch's own in the bundle's type differ from "
            f"those in float64 by {first.rounding:.2g} (relative)",
            "choose a wider --dtype for this checkpoint",
        )
    raise ParityError(
        f"{first.name} differ from PyTorch's in float64 by {first.error:.2g} (relative), PyTorch's "
        f"own in the bundle's type by {first.rounding:.2g}; {first.margin:g} times that is allowed",
        "report the checkpoint's architecture: its graphs compute something else",
    )


def _compare_prompt(
    model: Model, decoders: Mapping[str, Decoder], expected: Reference, margin: float
) -> list[Comparison]:
    watch = Stopwatch()
    with watch.stage(names.VISION_ENCODER):
        images = [model.image_features(image, Counts()) for image in expected.images]
    with watch.stage(names.EMBED_TOKENS):
        prompt = model.embed(expected.parts, images)
    times, exact, rounded = watch.timings(), expected.exact, expected.rounded
    single = len(images) == 1
    title = "" if single else f"{expected.title}, "
    tokens = [image.tokens for image in images]
    rows = [
        Comparison(
            names.VISION_ENCODER,
            f"{title}image features",
            _root_mean_square(_errors(tokens, exact.features)),
            _root_mean_square(_errors(rounded.features, exact.features)),
            margin,
            times[names.VISION_ENCODER],
        ),
        Comparison(
            names.EMBED_TOKENS,
            f"{title}prompt embeddings",
            _root_mean_square(_errors(prompt.embeds, exact.embeds)),
            _root_mean_square(_errors(rounded.embeds, exact.embeds)),
            margin,
            times[names.EMBED_TOKENS],
        ),
    ]
    length, prefix = prompt.length, expected.prefix_length
    schedules = {"one shot": [length], "chunked": [prefix, length - 1, length]}
    if single:
        schedules["token by token at the end"] = [prefix, *range(prefix + 1, length + 1)]
    for (how, decoder), (name, stops) in product(decoders.items(), schedules.items()):
        rows += _run_chunks(decoder, prompt, expected, stops, f"{title}{name}{how}", margin)
    return rows


def _run_chunks(
    decoder: Decoder,
    prompt: PromptChunk,
    expected: Reference,
    stops: list[int],
    title: str,
    margin: float,
) -> list[Comparison]:
    """Feed the prompt in chunks ending at ``stops``; compare at the end of each."""
    cache = decoder.empty(stops[-1])
    logits, attention = [], []
    start, watch = 0, Stopwatch()
    for stop in stops:
        with watch.stage(names.DECODER):
            step = decoder.step(prompt.part(start, stop), cache, Counts())
        logits.append(step.logits)
        attention.append(step.rows)
        cache, start = step.cache, stop
    seconds = watch.timings()[names.DECODER]
    exact, rounded = expected.exact, expected.rounded
    last = [stop - 1 for stop in stops]
    same = np.argmax(logits, axis=1) == rounded.logits[last].argmax(axis=1)
    rows, rounded_rows = (np.moveaxis(each.attention, -2, 0) for each in (exact, rounded))
    return [
        Comparison(
            names.DECODER,
            f"logits, {title}",
            _root_mean_square(_errors(logits, exact.logits[last])),
            _own_rounding(_errors(rounded.logits, exact.logits), last),
            margin,
            seconds,
            bool(same.all()),
        ),
        Comparison(
            names.DECODER,
            f"attention, {title}",
            _root_mean_square(
                _errors(attention, [rows[stop - 1, ..., :stop] for stop in stops]),
            ),
            _own_rounding(_errors(rounded_rows, rows), last),
            margin,
            seconds,
        ),
    ]


def _own_rounding(errors: Array, positions: Sequence[int]) -> float:
    """Return PyTorch's error at every position, or at some of them where that is larger.

    A few positions say little of a model's rounding, and may be harder than the rest.
    """
    # Unlike ``max``, ``maximum`` never drops a NaN.
    return float(np.maximum(_root_mean_square(errors), _root_mean_square(errors[list(positions)])))


def _errors(actual: Arrays, exact: Arrays) -> Array:
    """Return the norm of each array's error relative to that of the exact one."""
    return np.array(
        [
            np.linalg.norm(left.astype(np.float64) - right) / np.linalg.norm(right)
            for left, right in zip(actual, exact, strict=True)
        ]
    )


def _root_mean_square(errors: Array) -> float:
    return float(np.sqrt(np.square(errors).mean()))
