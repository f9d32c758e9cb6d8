"""What a patch should look like to the language model: the words for what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tools.research.pocket.world.labels import Labels
from tools.research.pocket.world.vocabulary import COLOR_NAMES, SHAPE_NAMES, TEXTS
from tools.shared.models.language_model import LanguageModel

_BACKGROUND = "background"


class PatchWords:
    """Targets of the regression: per patch, the sum of the embeddings of its words."""

    def __init__(self, language: LanguageModel) -> None:
        """Look up the words for all that pocket's scenes can show."""
        self._color = _table(language, COLOR_NAMES)
        self._shape = _table(language, SHAPE_NAMES)
        self._text = _table(language, TEXTS)
        self._background = _embedding(language, _BACKGROUND)

    @property
    def width(self) -> int:
        """The language model's hidden size."""
        return len(self._background)

    def targets(self, labels: Labels) -> NDArray[np.float32]:
        """Return (patches, hidden): colour + shape + readable text, or " background"."""
        words = self._color[labels.color] + self._shape[labels.shape] + self._text[labels.text]
        return np.where(labels.color[:, None] > 0, words, self._background)


def _table(language: LanguageModel, words: Sequence[str]) -> NDArray[np.float32]:
    """Return one row per label: zeros for label 0, then the words in order."""
    rows = [_embedding(language, word) for word in words]
    return np.stack([np.zeros_like(rows[0]), *rows])


def _embedding(language: LanguageModel, word: str) -> NDArray[np.float32]:
    """Return the sum over the tokens of a word inside a sentence."""
    ids = language.tokenizer(f" {word}", add_special_tokens=False).input_ids
    return np.asarray(language.embeddings[ids].sum(dim=0).numpy(), np.float32)
