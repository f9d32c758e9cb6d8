"""What the attention of a question's pass says of the answer: one number for each signal.

It is the mean over the layers that the bundle's settings name, at every step of the plain answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from carve_models.manifest import Manifest
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.placement import place
from tools.research.quality.attempts import Carved
from tools.research.quality.observations import Observation
from tools.shared.models.bundles import fixed_grid

Floats = NDArray[np.float64]

#: The share of the image tokens that count as the strongest: 9 of pocket's 144.
_STRONGEST = 1 / 16

ATTENTION = ("mass", "mass at the end", "strongest", "certainty", "overlap")


def attention_signals(observations: Sequence[Observation], manifest: Manifest) -> Floats:
    """Return the signals of each question, (n, :data:`ATTENTION`).

    * mass: the share of the attention that falls on the image, the mean over steps; and at the
      last one, where the model decides that the answer is complete;
    * strongest: the share of that mass on the strongest sixteenth of the image's tokens;
    * certainty: 1 less the entropy over the image's tokens, as a share of the largest one;
    * overlap: the share of the map, placed over the picture, within the pixels that CARVE keeps.
    """
    kept = Carved("CARVE", manifest.defaults)
    rows = manifest.decoder.rows(manifest.defaults.layers)
    return np.array([_signals(each, kept, manifest, rows) for each in observations])


def log_odds(probabilities: ArrayLike) -> Floats:
    """Return probabilities as log-odds, finite where they are rounded to 0 or 1."""
    limits = np.finfo(np.float32)
    return np.asarray(logit(np.clip(probabilities, limits.tiny, 1 - limits.eps)))


def _signals(
    observation: Observation, kept: Carved, manifest: Manifest, rows: list[int]
) -> tuple[float, ...]:
    steps = observation.question[:, rows].mean(axis=1, dtype=np.float64)
    mass = steps.sum(axis=1)
    answer = steps.mean(axis=0)
    strongest = np.sort(answer)[-round(_STRONGEST * len(answer)) :]
    entropy = attention_entropy(answer[None].astype(np.float32))
    tokens = answer.reshape(fixed_grid(manifest))
    placed = np.nan_to_num(place(tokens, observation.image.size, observation.window))
    inside = placed[kept.mask(observation, manifest)]
    return (
        float(mass.mean()),
        float(mass[-1]),
        float(strongest.sum() / answer.sum()),
        float(1 - entropy / np.log(len(answer))),
        float(inside.sum() / placed.sum()),
    )
