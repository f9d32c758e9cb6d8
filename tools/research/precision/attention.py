"""Where a bundle attends for questions about scenes, and how far another one attends elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_export.precision.agreement import mask_overlap
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.model import Model
from carve_runtime.method.locate import locate
from carve_runtime.method.maps import Rows
from tools.research.pocket_l.pointing.questions import SceneQuestions
from tools.shared.models.bundles import fixed_grid, map_of_tokens
from tools.shared.models.passes import first_attention
from tools.shared.models.pointing import hits, strongest


@dataclass(frozen=True)
class SceneAttention:
    """What n questions made a bundle attend to, at the first step.

    Attributes:
        attention: (n, L, N) float32, of every tapped layer to the image tokens; each sums to 1.
        read: rows of ``attention`` that the bundle reads by default.
        points: (n, 2) int64, row and column of the strongest token of the contrast.
        masks: n (H, W) bool arrays, with the bundle's settings.
        targets: (n, 2) int64, the token on the centre of what was asked for.
    """

    attention: NDArray[np.float32]
    read: tuple[int, ...]
    points: NDArray[np.int64]
    masks: tuple[NDArray[np.bool_], ...]
    targets: NDArray[np.int64]

    @property
    def pointing(self) -> float:
        """The share of questions whose strongest token is on or beside the target's."""
        return float(hits(self.points, self.targets).mean())


@dataclass(frozen=True, kw_only=True)
class AttentionAgreement:
    """How alike two bundles attend, each figure between 0 and 1.

    Attributes:
        attention: shared attention, 1 less the total variation, mean over questions and layers.
        least_layer: the same, mean over questions, of the layer that shares least.
        read_layers: the same, of the layers that the bundle reads.
        strongest: share of questions and read layers with the same strongest token.
        mask_overlap: intersection over union of the masks, mean.
        least_mask_overlap: the same, of the worst question.
    """

    attention: float
    least_layer: float
    read_layers: float
    strongest: float
    mask_overlap: float
    least_mask_overlap: float


def attend(bundle: Bundle, scenes: Sequence[SceneQuestions]) -> SceneAttention:
    """Ask a bundle about scenes, through its runtime and with its prompts and settings.

    Args:
        bundle: all its images have one grid of tokens; it reads the first step.
        scenes: at least one.
    """
    model = Model(bundle)
    defaults, grid = model.manifest.defaults, fixed_grid(model.manifest)
    read = model.manifest.decoder.rows(defaults.layers)
    attention, points, masks = [], [], []
    for scene in scenes:
        texts = (*scene.questions, model.manifest.prompts.general)
        view, rows = first_attention(model, scene.image, texts)
        attention.append(rows[:-1])
        for question in rows[:-1, None]:
            maps = question[:, read], rows[-1:, read]
            points.append(strongest(map_of_tokens(*maps, defaults, grid).reshape(-1), grid))
            _, mask = locate(
                Rows(maps[0], defaults.layers, maps[1:]),
                defaults,
                grid=grid,
                image_size=scene.image.size,
                window=view.model_inputs[0].window,
            )
            masks.append(mask)
    every = np.concatenate(attention)
    return SceneAttention(
        every / every.sum(axis=-1, keepdims=True),
        tuple(read),
        np.stack(points),
        tuple(masks),
        np.concatenate([scene.targets for scene in scenes]),
    )


def agreement(left: SceneAttention, right: SceneAttention) -> AttentionAgreement:
    """Compare two bundles on the same scenes; equal ones agree in 1."""
    shared = np.minimum(left.attention, right.attention).sum(axis=-1)
    read = list(left.read)
    tokens = [bundle.attention[:, read].argmax(axis=-1) for bundle in (left, right)]
    overlaps = [mask_overlap(*pair) for pair in zip(left.masks, right.masks, strict=True)]
    return AttentionAgreement(
        attention=float(shared.mean()),
        least_layer=float(shared.mean(axis=0).min()),
        read_layers=float(shared[:, read].mean()),
        strongest=float(np.equal(*tokens).mean()),
        mask_overlap=float(np.mean(overlaps)),
        least_mask_overlap=float(np.min(overlaps)),
    )
