"""Images as the model holds them: what all passes about them continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime.decoder.cache import Prefix
from carve_runtime.decoder.decoder import Step
from carve_runtime.images.model_input import ModelInput
from carve_runtime.prompt.chunk import ImageFeatures, PromptChunk, image_starts
from carve_runtime.prompt.text import PromptPart


@dataclass(frozen=True)
class EncodedImages:
    """One image, or several in one prompt.

    Attributes:
        features: the tokens of each image, with the grid and the window of its map.
        prefix: the cache of the prompt up to and including the last image.
        map_tokens: (N,), where the tokens of the maps stand in the prompt: those of the first
            image in raster order, then those of the next one.
    """

    features: tuple[ImageFeatures, ...]
    prefix: Prefix
    map_tokens: NDArray[np.int64]

    @classmethod
    def after(
        cls,
        parts: Sequence[PromptPart],
        features: Sequence[ImageFeatures],
        beginning: PromptChunk,
        step: Step,
    ) -> EncodedImages:
        """Return what a step through the prompt's beginning has left.

        Args:
            parts: of that beginning, which ends in the last image.
            features: of its images.
            beginning: what the step was given.
            step: it.
        """
        inputs = [each.model_input for each in features]
        starts = image_starts(parts, inputs)
        places = [start + each.map_tokens for start, each in zip(starts, inputs, strict=True)]
        prefix = Prefix(step.cache, step.states, beginning.positions)
        return cls(tuple(features), prefix, np.concatenate(places))

    @property
    def count(self) -> int:
        """How many images."""
        return len(self.features)

    @property
    def model_inputs(self) -> tuple[ModelInput, ...]:
        """What the vision encoder saw of each."""
        return tuple(features.model_input for features in self.features)

    @property
    def nbytes(self) -> int:
        """Bytes held, unused positions of the cache included."""
        return sum(features.nbytes for features in self.features) + self.prefix.nbytes
