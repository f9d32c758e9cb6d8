"""Random stretches of a prompt, as this project's decoder takes them."""

from __future__ import annotations

from carve_models import names
from carve_models.manifest import DecoderSpec
from carve_runtime.prompt.chunk import PromptChunk
from tools.bench.raw_decoder import feeds


def stretch(spec: DecoderSpec, new: int, past: int = 0) -> PromptChunk:
    """Return ``new`` positions that follow ``past`` ones, one after another."""
    inputs = feeds(spec, new)
    positions = inputs[names.POSITION_IDS] + past
    return PromptChunk(inputs[names.INPUTS_EMBEDS], positions, past + new)
