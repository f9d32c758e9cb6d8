"""Agreement of several general instructions.

A general instruction is to ask for nothing in particular, and each asks for something; CARVE's
paper compares five (arXiv 2509.06461, table 4). The contrast with one of them also has what that
one happens to overlook. Ours: only what stands out against every instruction counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.method.maps.contrast import divide
from carve_runtime.method.maps.rows import Fusion, Rows, common_maps, fuse

#: Those that the paper compares.
INSTRUCTIONS = (
    "Write a general description of the image.",
    "Describe this image in detail.",
    "Provide a comprehensive overview of the image.",
    "What do you see in this image?",
    "Explain what appears in the image.",
)


def agreement(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return the least of the contrasts with each instruction, each divided by its sum."""
    shares = [_shares(rows.question, general, fusion) for general in rows.general]
    return np.asarray(np.min(shares, axis=0))


def other_instructions(settings: Settings, own: str) -> tuple[str, ...]:
    """Return the general instructions to take besides a bundle's own."""
    texts = settings.general_instructions
    return tuple(text for text in (INSTRUCTIONS if texts is None else texts) if text != own)


def _shares(
    question: NDArray[np.float32], general: NDArray[np.float32], fusion: Fusion
) -> NDArray[np.float64]:
    maps = divide(*common_maps(question, general, fusion.steps), fusion.regularizer)
    fused = fuse(maps, fusion.steps)
    with np.errstate(invalid="ignore"):  # what is not finite is refused later
        return np.asarray(fused / max(fused.sum(), np.finfo(np.float64).tiny))
