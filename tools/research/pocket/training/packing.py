"""Batches for the text model: several independent questions share one image prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tools.research.pocket.pool import Pool, PoolName
from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.research.pocket.training.vision_stages import stack_views
from tools.research.pocket.world.augment import augment, draw_offset
from tools.research.pocket.world.easy import questions as easy_questions
from tools.research.pocket.world.labels import Labels, readable
from tools.research.pocket.world.model_input import GRID, IMAGE_TOKENS, PATCH
from tools.research.pocket.world.questions import (
    KINDS,
    WEIGHTS,
    Box,
    Question,
    reading_questions,
    sample_questions,
)
from tools.research.pocket.world.views import View

IGNORED = -100
#: Longest row of questions and answers, in tokens.
_MOST_TOKENS = 150
#: The end-of-sequence token is easy: it counts little.
_END_WEIGHT = 0.1
#: Share of an object's side that grounding points at.
_CORE = 0.8
#: Share of easy-VQA's images.
_EASY = 0.1
#: Questions about one prompt, each with the numbers of the views that show its evidence.
Questions: TypeAlias = Sequence[tuple[Question, Sequence[int]]]
#: Views of a prompt, and what is asked about them.
Asked: TypeAlias = tuple[list[View], Questions]


class Evidence(NamedTuple):
    """Where each question's evidence lies; m questions that have some.

    Attributes:
        row: (m,) int64, row of the batch.
        position: (m,) int64, position in the text that predicts the first answer token.
        target: (m, images * IMAGE_TOKENS) float32, a distribution over image tokens.
    """

    row: torch.Tensor
    position: torch.Tensor
    target: torch.Tensor


class Answers(NamedTuple):
    """Where answers lie: (n,) int64 each; ``kind`` indexes ``KINDS``."""

    row: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor
    kind: torch.Tensor


class TextBatch(NamedTuple):
    """One batch of B prefixes of ``images`` images each, and L tokens of text.

    Attributes:
        before: ids of the tokens in front of the images.
        images: images per prefix.
        pixels: (B * images, H, W, 3) uint8.
        labels: dense labels of the images.
        ids: (B, L) int64.
        positions: (B, L) int64; every question starts right after the prefix.
        segments: (B, L) int64, the number of the question; 0 is padding.
        targets: (B, L) int64, the next token of an answer, elsewhere ``IGNORED``.
        weights: (B, L) float32.
        evidence: for the grounding loss.
        answers: for the metrics.
    """

    before: tuple[int, ...]
    images: int
    pixels: torch.Tensor
    labels: Labels
    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    evidence: Evidence
    answers: Answers

    @property
    def prefix(self) -> int:
        """Positions in front of the text."""
        return len(self.before) + self.images * IMAGE_TOKENS


@dataclass(frozen=True)
class Wording:
    """How questions about images are put to a language model.

    Attributes:
        tokenizer: the model's.
        before: ids of what stands in front of the images.
        prompt: what follows them, with ``{text}`` for the question.
        answer: the answer, with ``{text}``; the end-of-sequence token follows.
        most_tokens: longest row of questions and answers.
    """

    tokenizer: Any
    before: tuple[int, ...]
    prompt: str
    answer: str
    most_tokens: int

    def encode(self, question: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens of a question and of its answer."""
        prompt = _tokenize(self.tokenizer, self.prompt.format(text=question))
        ids = _tokenize(self.tokenizer, self.answer.format(text=answer))
        return prompt, (*ids, self.tokenizer.eos_token_id)


def pocket_wording(tokenizer: Any) -> Wording:
    """Return pocket's own: LLaVA-1.5's prompt."""
    before = (tokenizer.bos_token_id,)
    return Wording(tokenizer, before, "\nUSER: {text}\nASSISTANT:", " {text}", _MOST_TOKENS)


class TextBatches(Dataset[Any]):
    """Batches of questions; batch ``index`` depends on seed and index."""

    def __init__(self, folder: Path, size: int, seed: int, *, pairs: float) -> None:
        """Open the pools.

        Args:
            folder: the output folder of all steps.
            size: images of a batch.
            seed: of the sampling.
            pairs: share of the batches that show a scene and a crop.
        """
        self._pools = {name: Pool(folder / "pool", name) for name in get_args(PoolName)}
        self._size, self._seed, self._pairs = size, seed, pairs
        self._wording = pocket_wording(build_tokenizer())

    def __getitem__(self, index: int) -> TextBatch:
        rng = np.random.default_rng([self._seed, index])
        if rng.random() < self._pairs:
            samples = [self._pair(rng) for _ in range(self._size // 2)]
        else:
            samples = [self._single(rng) for _ in range(self._size)]
        views = [view for sample, _ in samples for view in sample]
        return pack(self._wording, views, [asked for _, asked in samples])

    def _single(self, rng: np.random.Generator) -> Asked:
        if rng.random() < _EASY:
            (view, _), asked = self._easy(rng)
            return [view], asked
        pool = self._pools["crowd" if rng.random() < 0.25 else "single"]
        view = augment(rng, pool[int(rng.integers(len(pool)))][0])
        return [view], [(question, (0,)) for question in sample_questions(rng, view.objects)]

    def _easy(self, rng: np.random.Generator) -> Asked:
        """Ask easy-VQA's own questions: the image answers them, whatever the crop shows."""
        number = int(rng.integers(len(self._pools["easy"])))
        offset = draw_offset(rng)
        views = [augment(rng, view, offset) for view in self._pools["easy"][number]]
        pairs = easy_questions("train").get(number, [])
        chosen = [pairs[i] for i in rng.permutation(len(pairs))[:7]]
        return views, [(Question(text, answer, "easy"), (0,)) for text, answer in chosen]

    def _pair(self, rng: np.random.Generator) -> Asked:
        """Ask about what the crop shows, and about the scene what the crop does not show."""
        if rng.random() < _EASY:
            return self._easy(rng)
        pool = self._pools["pair"]
        offset = draw_offset(rng)
        scene, crop = (augment(rng, view, offset) for view in pool[int(rng.integers(len(pool)))])
        close = reading_questions(rng, crop.objects, 4)
        known = {question.text for question in close}
        legible = scene.objects[readable(scene.objects)]
        far = [q for q in reading_questions(rng, legible, 4) if q.text not in known]
        far += sample_questions(rng, scene.objects, reading=0, other_kinds=3)
        asked = [(question, (1,)) for question in close] + [(question, (0,)) for question in far]
        return [scene, crop], [asked[i] for i in rng.permutation(len(asked))]


def pack(wording: Wording, views: Sequence[View], asked: Sequence[Questions]) -> TextBatch:
    """Return a batch; every prompt has as many views."""
    images = len(views) // len(asked)
    shape = len(asked), wording.most_tokens
    first_position = len(wording.before) + images * IMAGE_TOKENS
    ids, positions, segments = (np.zeros(shape, np.int64) for _ in range(3))
    targets, weights = np.full(shape, IGNORED), np.zeros(shape, np.float32)
    evidence: list[tuple[int, int, NDArray[np.float32]]] = []
    answers: list[tuple[int, int, int, int]] = []
    for row, questions in enumerate(asked):
        start = 0
        for number, (question, shown) in enumerate(questions):
            prompt, answer = wording.encode(question.text, question.answer)
            stop, first = start + len(prompt) + len(answer), start + len(prompt) - 1
            if stop > wording.most_tokens:
                break
            ids[row, start:stop] = prompt + answer
            positions[row, start:stop] = first_position + np.arange(stop - start)
            segments[row, start:stop] = number + 1
            targets[row, first : stop - 1] = answer
            weights[row, first : stop - 1] = WEIGHTS[question.kind]
            weights[row, stop - 2] *= _END_WEIGHT
            answers.append((row, first, len(answer) - 1, KINDS.index(question.kind)))
            if question.box is not None:
                evidence.append((row, first, _spread(question.box, shown, images)))
            start = stop
    length = max(1, int((segments > 0).sum(axis=1).max()))
    pixels, labels = stack_views(list(views))
    ids_, positions_, segments_, targets_, weights_ = (
        torch.from_numpy(array[:, :length])
        for array in (ids, positions, segments, targets, weights)
    )
    return TextBatch(
        wording.before,
        images,
        pixels,
        labels,
        ids_,
        positions_,
        segments_,
        targets_,
        weights_,
        _stack_evidence(evidence, images),
        Answers(*torch.tensor(answers, dtype=torch.int64).reshape(-1, 4).T),
    )


def attention_mask(batch: TextBatch) -> torch.Tensor:
    """Return the additive mask, (B, 1, T, T): each question sees the prefix and its own past."""
    prefix, device = batch.prefix, batch.segments.device
    size, length = batch.segments.shape
    total = prefix + length
    causal = torch.ones(total, total, dtype=torch.bool, device=device).tril()
    allowed = causal.repeat(size, 1, 1)
    same = batch.segments[:, :, None] == batch.segments[:, None, :]
    allowed[:, prefix:, prefix:] &= same
    mask = torch.zeros(size, 1, total, total, device=device)
    return mask.masked_fill_(~allowed[:, None], -1e9)


@lru_cache(maxsize=65536)
def _tokenize(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def _spread(box: Box, shown: Sequence[int], images: int) -> NDArray[np.float32]:
    """Return the distribution over the image tokens that an object's core covers where shown."""
    x, y, w, h = box
    start = np.arange(GRID) * PATCH
    cover = [
        np.minimum(start + PATCH, center + size * _CORE / 2)
        - np.maximum(start, center - size * _CORE / 2)
        for center, size in ((y, h), (x, w))
    ]
    area = np.clip(cover[0], 0, None)[:, None] * np.clip(cover[1], 0, None)
    target = np.zeros((images, IMAGE_TOKENS), np.float32)
    target[list(shown)] = area.ravel() / max(area.sum() * len(shown), 1e-6)
    return target.ravel()


def _stack_evidence(evidence: list[tuple[int, int, NDArray[np.float32]]], images: int) -> Evidence:
    rows, positions, targets = zip(*evidence, strict=True) if evidence else ((), (), ())
    stacked = np.stack(targets) if targets else np.zeros((0, images * IMAGE_TOKENS), np.float32)
    return Evidence(torch.tensor(rows), torch.tensor(positions), torch.from_numpy(stacked))
