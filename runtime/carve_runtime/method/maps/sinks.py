"""The question's attention without the image's attention sinks.

Some image tokens receive much attention whatever is asked ("Visual Attention Sink in Large
Multimodal Models", Kang et al., ICLR 2025, arXiv 2503.03321; of text, Xiao et al., arXiv
2309.17453). Kang et al. find them by massive activations of the hidden states. These are not an
output of a bundle, so that we take what they do: a sink is a token that receives much in both
passes and every step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_runtime.method.maps.rows import Fusion, Maps, Rows, common_maps, fuse

#: How many times the mean of a row a position receives to be called a sink.
SINK_FACTOR = 10.0


def sink_removal(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return ``A_Q``, summed over layers and weighted steps, with 0 at each layer's sinks."""
    question, general = common_maps(rows.question, rows.general[0], fusion.steps)
    sinks = _always_large(question) & _always_large(general)
    return fuse(np.where(sinks, np.float32(0), question), fusion.steps)


def _always_large(maps: Maps) -> NDArray[np.bool_]:
    """Return which tokens of which layers receive much in every step, (L, N)."""
    least = SINK_FACTOR * maps.mean(axis=-1, keepdims=True)
    return np.asarray((maps >= least).all(axis=0))
