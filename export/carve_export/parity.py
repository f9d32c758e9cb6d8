"""Compare exported graphs with the checkpoint that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carve_export.checkpoint import Checkpoint
from carve_export.graphs import VisionEncoder
from carve_models.errors import ParityError
from carve_models.manifest import Manifest
from carve_runtime.bundle import Bundle
from carve_runtime.cache import Counts
from carve_runtime.decoder import Decoder
from carve_runtime.engine import Engine
from carve_runtime.text import Piece, Text

Array = NDArray[np.float32]

_SEED = 0


@dataclass(frozen=True)
class Comparison:
    """One compared output.

    Attributes:
        name: which.
        difference: largest absolute difference.
        scale: largest absolute value of the reference, at least 1.
        tolerance: allowed difference, relative to ``scale``.
    """

    name: str
    difference: float
    scale: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.difference <= self.tolerance * self.scale


@dataclass(frozen=True)
class Reference:
    """What PyTorch computes, eagerly, for one prompt about a random image.

    Attributes:
        pixel_values: (1, 3, h, w).
        pieces: the prompt.
        features: (1, N, hidden).
        embeds: (1, S, hidden), the prompt with the features in place.
        logits: (S, V), of every position.
        attention: (L, S, S), mean over heads, of the tapped layers.
    """

    pixel_values: Array
    pieces: list[Piece]
    features: Array
    embeds: Array
    logits: Array
    attention: Array


def reference(checkpoint: Checkpoint, manifest: Manifest, text: Text) -> Reference:
    """Run the checkpoint as Hugging Face runs it: eager attention, one forward call."""
    model, spec = checkpoint.model, manifest.decoder
    random = np.random.default_rng(_SEED)
    pixels = random.standard_normal((1, 3, *manifest.image.size)).astype(np.float32)
    pieces = text.pieces(manifest.prompts.single, manifest.prompts.general)
    image = np.full(manifest.image.tokens, spec.image_token_id)
    ids = np.concatenate([image if isinstance(piece, int) else piece for piece in pieces])
    input_ids = torch.from_numpy(ids[None])
    captured: dict[str, Any] = {}

    def capture(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        captured.update(kwargs)

    text_model = checkpoint.module(checkpoint.family.modules.text_model)
    handle = text_model.register_forward_pre_hook(capture, with_kwargs=True)
    try:
        with torch.no_grad():
            features = VisionEncoder(checkpoint)(torch.from_numpy(pixels))
            output = model(
                input_ids=input_ids,
                pixel_values=torch.from_numpy(pixels),
                output_attentions=True,
                use_cache=False,
            )
    finally:
        handle.remove()
    attention = [output.attentions[layer][0].mean(dim=0) for layer in spec.tapped_layers]
    return Reference(
        pixel_values=pixels,
        pieces=pieces,
        features=features.numpy(),
        embeds=captured["inputs_embeds"].numpy(),
        logits=output.logits[0].float().numpy(),
        attention=torch.stack(attention).float().numpy(),
    )


def compare(bundle: Bundle, expected: Reference, tolerance: float) -> list[Comparison]:
    """Run a bundle's graphs on the reference's inputs, one shot and chunked over a past.

    A decoder that is split runs in its halves, and in one piece.

    Raises:
        ParityError: any output differs by more than ``tolerance`` times its scale.
    """
    engine, counts = Engine(bundle), Counts()
    decoders = {"": engine.decoder}
    if bundle.manifest.decoder.exit_layers is not None:
        decoders[", in one piece"] = Engine(bundle, whole=True).decoder
    features = engine.encode_image(expected.pixel_values, counts)
    embeds = engine.embed(expected.pieces, [features])
    rows = [
        _difference("image features", features, expected.features, tolerance),
        _difference("prompt embeddings", embeds, expected.embeds, tolerance),
    ]
    length = embeds.shape[1]
    image_end = _image_end(expected.pieces, features.shape[1])
    schedules = {
        "one shot": [length],
        "chunked": [image_end, length - 1, length],
        "token by token at the end": [image_end, *range(image_end + 1, length + 1)],
    }
    for (how, decoder), (title, stops) in product(decoders.items(), schedules.items()):
        rows += _run_chunks(decoder, expected, stops, title + how, tolerance)
    failed = [row for row in rows if not row.passed]
    if failed:
        worst = failed[0]
        raise ParityError(
            f"{worst.name} differ from PyTorch's by {worst.difference:.3g} "
            f"(allowed {worst.tolerance * worst.scale:.3g})",
            "report the checkpoint's architecture; a larger --tolerance only hides it",
        )
    return rows


def _image_end(pieces: list[Piece], image_tokens: int) -> int:
    end = 0
    for piece in pieces:
        if isinstance(piece, int):
            return end + image_tokens
        end += len(piece)
    return end


def _run_chunks(
    decoder: Decoder, expected: Reference, stops: list[int], title: str, tolerance: float
) -> list[Comparison]:
    """Feed the prompt in chunks ending at ``stops``; compare at the end of each."""
    cache = decoder.empty(stops[-1])
    logits, attention = [], []
    start = 0
    for stop in stops:
        step = decoder.step(expected.embeds[:, start:stop], cache, Counts())
        logits.append(np.abs(step.logits - expected.logits[stop - 1]).max())
        wanted = expected.attention[:, stop - 1, :stop]
        attention.append(np.abs(step.attention - wanted).max())
        cache, start = step.cache, stop
    scale = max(1.0, float(np.abs(expected.logits).max()))
    return [
        Comparison(f"logits, {title}", float(np.max(logits)), scale, tolerance),
        Comparison(f"attention, {title}", float(np.max(attention)), 1.0, tolerance),
    ]


def _difference(name: str, found: Array, wanted: Array, tolerance: float) -> Comparison:
    scale = max(1.0, float(np.abs(wanted).max()))
    return Comparison(name, float(np.abs(found - wanted).max()), scale, tolerance)
