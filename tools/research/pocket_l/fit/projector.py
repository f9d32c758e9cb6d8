"""Fit the projector: from pocket's patch features to the language model's word embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carve_eval.reporting.progress import progress
from tools.research.pocket.training.architecture import normalize
from tools.research.pocket.world.augment import augment
from tools.research.pocket.world.labels import patch_labels
from tools.research.pocket.world.views import View, sample_view, small_scene, whole_view
from tools.research.pocket_l.fit.ridge import Affine, NormalEquations
from tools.research.pocket_l.fit.words import PatchWords

#: Views that are fitted for one that is held out.
_HELD_OUT = 6
#: Of a background patch, beside about one for all patches of an object together.
_BACKGROUND_WEIGHT = 0.04
#: Share of the views that are whole scenes.
_SCENES = 0.75
_STRENGTHS = tuple(10.0**exponent for exponent in range(-7, 1))


@dataclass(frozen=True)
class FitSpec:
    """How many of pocket's training views the fit sees, and from which seed.

    Attributes:
        views: views whose patches are fitted; a sixth as many more are held out, to choose the
            strength on them.
        seed: of the generator.
    """

    views: int = 900
    seed: int = 51


@dataclass(frozen=True)
class Fit:
    """A fitted projector.

    Attributes:
        affine: from concatenated hidden states of the tower to word embeddings.
        strength: of the ridge penalty, chosen on the held-out views.
        explained: share of the targets' variance explained on the held-out views, by strength.
    """

    affine: Affine
    strength: float
    explained: dict[float, float]


def fit_projector(tower: Any, layers: Sequence[int], words: PatchWords, spec: FitSpec) -> Fit:
    """Fit by ridge regression in closed form; nothing is trained.

    Args:
        tower: pocket's CLIP vision tower.
        layers: hidden states that are concatenated, as in ``vision_feature_layer``.
        words: the targets.
        spec: the data.
    """
    sums = []
    for part, count in enumerate((spec.views, -(-spec.views // _HELD_OUT))):
        equations = NormalEquations(len(layers) * tower.config.hidden_size, words.width)
        rng = np.random.default_rng([spec.seed, part])
        for _ in progress(range(count), ("patches to fit", "held-out patches")[part]):
            view = augment(rng, _sample(rng))
            labels = patch_labels(view.objects)
            weight = np.where(labels.color > 0, labels.weight, _BACKGROUND_WEIGHT)
            features = patch_features(tower, layers, view.pixels)
            equations.add(features, words.targets(labels), weight)
        sums.append(equations)
    fitted, held_out = sums
    maps = {strength: fitted.solve(strength) for strength in _STRENGTHS}
    explained = {strength: held_out.explained(affine) for strength, affine in maps.items()}
    best = max(explained, key=lambda strength: explained[strength])
    return Fit(maps[best], best, explained)


def _sample(rng: np.random.Generator) -> View:
    """Draw a whole scene, as is asked about later, or now and then a view of any kind."""
    if rng.random() < _SCENES:
        return whole_view(small_scene(rng, "train"))
    return sample_view(rng, "train")


def patch_features(
    tower: Any, layers: Sequence[int], pixels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return (patches, layers * width) of a (H, W, 3) uint8 view, without the class token."""
    with torch.inference_mode():
        states = tower(normalize(np.array(pixels[None])), output_hidden_states=True).hidden_states
        features = torch.cat([states[layer][0, 1:] for layer in layers], dim=-1)
    return np.asarray(features.numpy())
