"""How fast a lowered decoder is, relative to float32."""

from __future__ import annotations

from dataclasses import dataclass

from carve_runtime.bundle import Bundle
from tools.shared.models.decoder_steps import DecoderSteps
from tools.shared.timing import Spread, Way, interleave, ratio, spread


@dataclass(frozen=True)
class Pace:
    """The time of one piece of work.

    Attributes:
        float32: seconds in float32.
        ratio: of the lowered decoder's time to that, round by round.
    """

    float32: Spread
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


def pace(baseline: Bundle, lowered: Bundle, positions: int, rounds: int) -> Paces:
    """Time two decoders in turn.

    Args:
        baseline: in float32; positions are sequential.
        lowered: the same in lower precision.
        positions: of the prompt; fewer where the model has no room for them and a token.
        rounds: of each measurement.
    """
    positions = min(positions, baseline.manifest.decoder.context_length - 1)
    decoders = [DecoderSteps(bundle, positions + 1) for bundle in (baseline, lowered)]
    return Paces(
        positions,
        _compare([steps.way(positions) for steps in decoders], rounds),
        _compare([steps.way(1, positions) for steps in decoders], rounds),
    )


def _compare(ways: list[Way], rounds: int) -> Pace:
    named = dict(zip(("float32", "lowered"), ways, strict=True))
    baseline, lowered = interleave(named, rounds).values()
    return Pace(spread(baseline), ratio(lowered, baseline))
