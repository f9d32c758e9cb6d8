"""Where a bundle looks for questions about scenes, and how far another bundle looks elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_export.precision.agreement import mask_overlap
from carve_models.settings import Settings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.model import EncodedImage, Model
from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.method.locate import locate
from carve_runtime.usage import Usage
from tools.research.pocket_l.pointing import hits, strongest
from tools.research.pocket_l.questions import SceneQuestions
from tools.research.quality.looks import fixed_grid

Rows = NDArray[np.float32]
Saliency = NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """What n questions made a bundle look at, at the first step.

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
class LookAgreement:
    """How alike two bundles look, each figure between 0 and 1.

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


def look(bundle: Bundle, scenes: Sequence[SceneQuestions]) -> Looks:
    """Ask a bundle about scenes, through its runtime and with its prompts and settings.

    Args:
        bundle: all its images have one grid of tokens; it reads the first step.
        scenes: at least one.
    """
    model = Model(bundle)
    defaults, grid = model.manifest.defaults, fixed_grid(model.manifest)
    read = model.manifest.decoder.rows(defaults.layers)
    attention, points, masks = [], [], []
    for image, question, general in _passes(model, scenes):
        attention.append(question[0])
        maps = question[:, read], general[:, read]
        points.append(strongest(_contrast(*maps, defaults, grid), grid))
        height, width = image.pixels.shape[:2]
        _, mask = locate(
            *maps, defaults, grid=grid, image_size=(width, height), window=image.model_input.window
        )
        masks.append(mask)
    rows = np.stack(attention)
    return Looks(
        rows / rows.sum(axis=-1, keepdims=True),
        tuple(read),
        np.stack(points),
        tuple(masks),
        np.concatenate([scene.targets for scene in scenes]),
    )


def _passes(
    model: Model, scenes: Sequence[SceneQuestions]
) -> Iterator[tuple[EncodedImage, Rows, Rows]]:
    """Yield for each question its scene, its attention and the general one, (1, L, N) each."""
    for scene in scenes:
        texts = (*scene.questions, model.manifest.prompts.general)
        requests = [model.requests.plain(text, max_new_tokens=1) for text in texts]
        budget = max((request.budget for request in requests), key=lambda each: each.reserve)
        image = model.encode_image(np.asarray(scene.image), budget, Usage())
        *asked, general = (
            model.answer(image, request.prompt.single, "question", request).attention
            for request in requests
        )
        for question in asked:
            yield image, question, general


def _contrast(question: Rows, general: Rows, settings: Settings, grid: tuple[int, int]) -> Saliency:
    """Return the fused map on the grid itself, (N,)."""
    fused = fuse_contrast(
        question,
        general,
        grid=grid,
        image_size=(grid[1], grid[0]),
        layers=range(len(settings.layers)),
        steps="first",
        contrast=settings.contrast,
        regularizer=settings.regularizer,
    )
    return fused.reshape(-1)


def agreement(one: Looks, other: Looks) -> LookAgreement:
    """Compare the looks of two bundles at the same scenes; equal ones agree in 1."""
    shared = np.minimum(one.attention, other.attention).sum(axis=-1)
    read = list(one.read)
    best, others = (looks.attention[:, read].argmax(axis=-1) for looks in (one, other))
    overlaps = [mask_overlap(*pair) for pair in zip(one.masks, other.masks, strict=True)]
    return LookAgreement(
        attention=float(shared.mean()),
        least_layer=float(shared.mean(axis=0).min()),
        read_layers=float(shared[:, read].mean()),
        strongest=float((best == others).mean()),
        mask_overlap=float(np.mean(overlaps)),
        least_mask_overlap=float(np.min(overlaps)),
    )
