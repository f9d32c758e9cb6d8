"""How fast a lowered decoder is, relative to float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carve_models.manifest import DecoderSpec
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tools.bench.measure import Spread, Way, interleave, ratio, spread

_SEED = 0
#: Of random embeddings: about that of a trained model's.
_SCALE = np.float32(0.1)


@dataclass(frozen=True)
class Pace:
    """The time of one piece of work.

    Attributes:
        usual: seconds in float32.
        ratio: of the lowered decoder's time to that, round by round.
    """

    usual: Spread
    ratio: Spread


@dataclass(frozen=True)
class Paces:
    """The times of a decoder in the runtime, with its buffers that stay where they are.

    Attributes:
        positions: of the prompt.
        prefill: the prompt at once.
        decode: one token behind it.
    """

    positions: int
    prefill: Pace
    decode: Pace


def pace(usual: Bundle, made: Bundle, positions: int, rounds: int) -> Paces:
    """Time two decoders in turn.

    Args:
        usual: in float32; positions are sequential.
        made: the same in lower precision.
        positions: of the prompt; fewer where the model has no room for them and a token.
        rounds: of each measurement.
    """
    spec = usual.manifest.decoder
    positions = min(positions, spec.context_length - 1)
    decoders = [Decoder(bundle, BackendSettings()) for bundle in (usual, made)]
    return Paces(
        positions,
        _compare([_prefill(one, spec, positions) for one in decoders], rounds),
        _compare([_decode(one, spec, positions) for one in decoders], rounds),
    )


def _compare(ways: list[Way], rounds: int) -> Pace:
    usual, made = interleave(dict(zip(("usual", "made"), ways, strict=True)), rounds).values()
    return Pace(spread(usual), ratio(made, usual))


def _prefill(decoder: Decoder, spec: DecoderSpec, positions: int) -> Way:
    stretch, counts = _stretch(spec, 0, positions), Counts()
    return lambda: decoder.step(stretch, decoder.empty(positions), counts)


def _decode(decoder: Decoder, spec: DecoderSpec, positions: int) -> Way:
    counts = Counts()
    empty = decoder.empty(positions + 1)
    filled = decoder.step(_stretch(spec, 0, positions), empty, counts).cache
    token = _stretch(spec, positions, 1)
    return lambda: decoder.step(token, filled, counts)


def _stretch(spec: DecoderSpec, start: int, length: int) -> PromptChunk:
    random = np.random.default_rng(_SEED)
    embeds = random.standard_normal((1, length, spec.hidden_size), np.float32) * _SCALE
    stop = start + length
    return PromptChunk(embeds, np.arange(start, stop, dtype=np.int64)[None], stop)
