"""Run a bundle's decoder at once and over a cache, as CARVE does."""

from __future__ import annotations

import numpy as np

from carve_export.adopt.compare import Difference, relative_error, require
from carve_models import names
from carve_models.errors import ExportError, RunError
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts

_SEED = 0
#: Where chunks of a prompt end: an image, a question over its cache, and one token.
_STOPS = 4, 7, 8


def compare_over_cache(bundle: Bundle, allowed: float) -> list[Difference]:
    """Run a prompt at once and in chunks over a cache, and require the same last position.

    CARVE runs an image once, and each question over the cache that it left.

    Args:
        bundle: the bundle.
        allowed: see :func:`carve_export.adopt.compare.allowed_error`.

    Raises:
        ExportError: the decoder takes no more than one position over a cache.
        ParityError: results differ.
    """
    decoder = Decoder(bundle, BackendSettings())
    spec, length = bundle.manifest.decoder, _STOPS[-1]
    random = np.random.default_rng(_SEED)
    embeds = random.standard_normal((1, length, spec.hidden_size)).astype(bundle.manifest.dtype)
    positions = np.broadcast_to(np.arange(length), (*spec.position_axes, 1, length))
    prompt = PromptChunk(embeds, np.ascontiguousarray(positions), length)
    try:
        once, parts = (_run(decoder, prompt, stops) for stops in ((length,), _STOPS))
    except RunError as error:
        raise ExportError(
            f"the {names.DECODER} cannot take several positions over a cache, as CARVE asks it "
            f"each question ({error.cause})",
            "take a file with GroupQueryAttention or standard operators, or export the model's "
            "checkpoint with carve-export",
        ) from error
    pairs = {names.LOGITS: (parts.logits, once.logits), names.LAST_ROW: (parts.rows, once.rows)}
    found = [
        Difference(names.DECODER, f"{name} over a cache", relative_error(*pair), allowed)
        for name, pair in pairs.items()
    ]
    require(found, "differ from those of the prompt at once")
    return found


def _run(decoder: Decoder, prompt: PromptChunk, stops: tuple[int, ...]) -> Step:
    """Run a prompt in chunks that end at ``stops``; return the last one's results."""
    cache, start = decoder.empty(prompt.length), 0
    for stop in stops:
        step = decoder.step(prompt.part(start, stop), cache, Counts())
        cache, start = step.cache, stop
    return step
