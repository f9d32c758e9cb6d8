"""Questions about pocket's training views, drawn and rendered as they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from tools.research.pocket.training.packing import TextBatch, Wording, pack
from tools.research.pocket.world.augment import augment
from tools.research.pocket.world.easy import image_paths, load_pair
from tools.research.pocket.world.easy import questions as easy_questions
from tools.research.pocket.world.questions import Question, sample_questions
from tools.research.pocket.world.views import (
    View,
    crowded_scene,
    large_scene,
    sample_view,
    whole_view,
)
from tools.research.pocket_l.answers.recipe import Recipe
from tools.research.pocket_l.checkpoint import PROMPT
from tools.shared.models.language_model import IMAGE_TOKEN

#: Share of easy-VQA's images, as in pocket's own training.
_EASY_VQA = 0.1
#: Share of views full of texts, once the easy part is over.
_CROWDED = 0.25
_MOST_TOKENS = 192
_QUESTIONS = 7


def wording(tokenizer: Any) -> Wording:
    """Return how pocket-L is asked."""
    before, _, prompt = PROMPT.partition(IMAGE_TOKEN)
    return Wording(tokenizer, tuple(tokenizer(before).input_ids), prompt, "{text}", _MOST_TOKENS)


class QuestionBatches(Dataset[Any]):
    """Batches of questions; batch ``index`` depends on the recipe and the index alone."""

    def __init__(self, wording: Wording, recipe: Recipe) -> None:
        self._wording, self._recipe = wording, recipe

    def __getitem__(self, index: int) -> TextBatch:
        rng = np.random.default_rng([self._recipe.seed, index])
        easy = index < self._recipe.easy * self._recipe.steps
        samples = [_sample(rng, easy) for _ in range(self._recipe.batch)]
        views = [view for view, _ in samples]
        asked = [[(question, (0,)) for question in questions] for _, questions in samples]
        return pack(self._wording, views, asked)


def _sample(rng: np.random.Generator, easy: bool) -> tuple[View, list[Question]]:
    """Return a view and what is asked about it."""
    if rng.random() < _EASY_VQA:
        return _of_easy_vqa(rng)
    view = augment(rng, _draw(rng, easy))
    return view, sample_questions(rng, view.objects)


def _draw(rng: np.random.Generator, easy: bool) -> View:
    if easy:
        return whole_view(large_scene(rng, "train"))
    if rng.random() < _CROWDED:
        return whole_view(crowded_scene(rng, "train"))
    return sample_view(rng, "train")


def _of_easy_vqa(rng: np.random.Generator) -> tuple[View, list[Question]]:
    number = int(rng.integers(len(image_paths("train"))))
    view = augment(rng, load_pair(rng, "train", number)[0])
    pairs = easy_questions("train").get(number, [])
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[:_QUESTIONS]]
    return view, [Question(text, answer, "easy") for text, answer in chosen]
