"""The two stages before the text model: the tower alone, and the projector's alignment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import Dataset

from tools.research.pocket.pool import Pool, PoolName
from tools.research.pocket.training.dense import dense_loss
from tools.research.pocket.training.loop import (
    Group,
    LossFunction,
    Metrics,
    Stage,
    WeightsFile,
    run_stage,
)
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.world.augment import augment
from tools.research.pocket.world.labels import Labels, patch_labels
from tools.research.pocket.world.views import View
from tools.research.pocket.world.vocabulary import COLOR_NAMES, SHAPE_NAMES, TEXTS

#: Where the tower's views come from.
_MIX: dict[PoolName, float] = {"single": 0.35, "pair": 0.19, "easy": 0.06, "crowd": 0.4}
#: Sharpness of the softmax over words, and weights of the terms that keep tokens in order.
_SHARPNESS, _BACKGROUND, _NORM = 14.0, 3.0, 0.1


class ViewBatches(Dataset[Any]):
    """Batches of single views with patch labels; batch ``index`` depends on seed and index."""

    def __init__(self, folder: Path, size: int, seed: int) -> None:
        self._pools = {name: Pool(folder / "pool", name) for name in _MIX}
        self._size, self._seed = size, seed

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Labels]:
        rng = np.random.default_rng([self._seed, index])
        views = [self._draw(rng) for _ in range(self._size)]
        return stack_views(views)

    def _draw(self, rng: np.random.Generator) -> View:
        pool = self._pools[rng.choice(list(_MIX), p=list(_MIX.values()))]
        views = pool[int(rng.integers(len(pool)))]
        return augment(rng, views[rng.integers(len(views))])


def stack_views(views: list[View]) -> tuple[torch.Tensor, Labels]:
    """Return pixels (B, H, W, 3) uint8 and labels (B, patches) as tensors."""
    pixels = torch.from_numpy(np.stack([view.pixels for view in views]))
    labels = zip(*(patch_labels(view.objects) for view in views), strict=True)
    return pixels, Labels(*(torch.from_numpy(np.stack(label)) for label in labels))


def train_tower(model: Pocket, folder: Path, *, steps: int, batch: int, seed: int) -> None:
    """Teach the tower what is under each patch."""
    groups = (Group(model.tower, 4e-3, 4e-3), Group(model.heads, 4e-3, 4e-3))

    def loss_of(data: tuple[torch.Tensor, Labels], done: float) -> tuple[torch.Tensor, Metrics]:
        pixels, labels = data
        return dense_loss(model.heads, model.patch_features(pixels), labels, text_weight=2.5)

    stage = Stage("tower", steps, groups, floor=0.05)
    keeper = WeightsFile(model, folder / f"{stage.name}.pt")
    run_stage(stage, ViewBatches(folder, batch, seed), loss_of, keeper)


def align_projector(
    model: Pocket, tokenizer: Any, folder: Path, *, steps: int, batch: int, seed: int
) -> None:
    """Turn each patch's token towards the words for its colour, shape and text."""
    groups = (Group(model.projector, 3e-3, 3e-3),)
    loss_of = _alignment(model, tokenizer)
    stage = Stage("align", steps, groups, warmup=10)
    keeper = WeightsFile(model, folder / f"{stage.name}.pt")
    run_stage(stage, ViewBatches(folder, batch, seed + 1), loss_of, keeper)


def _alignment(model: Pocket, tokenizer: Any) -> LossFunction:
    embeddings = model.text_model.embed_tokens.weight.detach()

    def directions(words: tuple[str, ...]) -> torch.Tensor:
        ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
        return functional.normalize(torch.stack([embeddings[i].sum(0) for i in ids]), dim=-1)

    colors, shapes, texts = (directions(words) for words in (COLOR_NAMES, SHAPE_NAMES, TEXTS))

    def loss_of(data: tuple[torch.Tensor, Labels], done: float) -> tuple[torch.Tensor, Metrics]:
        pixels, labels = data
        color, shape, text = (label.flatten() for label in labels[:3])
        with torch.no_grad():
            features = model.patch_features(pixels).flatten(0, 1)
        tokens = model.projector(features)
        unit = functional.normalize(tokens, dim=-1)
        inside, legible = color > 0, text > 0
        losses = {
            "color": functional.cross_entropy(
                unit[inside] @ colors.T * _SHARPNESS, color[inside] - 1
            ),
            "shape": functional.cross_entropy(
                unit[inside] @ shapes.T * _SHARPNESS, shape[inside] - 1
            ),
            "text": functional.cross_entropy(
                unit[legible] @ texts.T * _SHARPNESS, text[legible] - 1
            ),
        }
        named = torch.cat([colors, shapes]).T
        background = (unit[~inside] @ named).relu().square().mean()
        norm = (tokens.square().mean(-1) + 1e-6).log().square().mean()
        loss = torch.stack([*losses.values(), _BACKGROUND * background, _NORM * norm]).sum()
        return loss, {name: float(value) for name, value in losses.items()}

    return loss_of
