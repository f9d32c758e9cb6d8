"""Ways to choose the part of a picture that the final pass looks at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.manifest import Manifest
from carve_models.settings import Settings
from carve_runtime.method.locate import locate
from carve_runtime.method.maps import Rows
from tools.research.pocket.world.cases import Case
from tools.research.pocket.world.scenes import Item
from tools.research.quality.observations import Observation
from tools.shared.models.bundles import fixed_grid

Mask: TypeAlias = "NDArray[np.bool_]"
Place = Literal["oracle", "random", "centre"]
#: What the variance of proposition C.5 is taken over.
Over = Literal["layers", "instructions"]

#: Side of a crop, as a multiple of the target's; and its least share of the picture's side.
_CROP, _LEAST = 2.2, 1 / 16
#: The released code's regulariser: no per-token one is smaller.
_LEAST_REGULARIZER = 1e-8


@dataclass(frozen=True)
class Carved:
    """CARVE as the runtime does it.

    Attributes:
        name: the row's label.
        settings: the hyper-parameters.
        instruction: which general instruction is divided by.
        per_token: take proposition C.5 literally: for each token, variance and mean over layers
            or over instructions. An experiment, not in the runtime.
    """

    name: str
    settings: Settings
    instruction: int = 0
    per_token: Over | None = None

    def mask(self, observation: Observation, manifest: Manifest) -> Mask:
        """Return the kept pixels, (H, W)."""
        settings, rows = self.settings, manifest.decoder.rows(self.settings.layers)
        first = self.instruction
        general = tuple(
            each[:, rows] for each in (*observation.general[first:], *observation.general[:first])
        )
        if self.per_token is not None:
            general = (general[0] + _per_token(observation, rows, self.per_token),)
            settings = settings.override(contrast="on", regularizer=0.0)
        answer = observation.answer[:, rows]
        return locate(
            Rows(observation.question[:, rows], settings.layers, general, answer),
            settings,
            grid=fixed_grid(manifest),
            image_size=observation.image.size,
            window=observation.window,
        )[1]


def _per_token(observation: Observation, rows: list[int], over: Over) -> NDArray[np.float32]:
    """Return ``sigma_i^2 / mu_i``, broadcastable to (steps, layers, N)."""
    maps = np.stack([general[0] for general in observation.general]).astype(np.float64)
    samples = maps[0][:, None] if over == "layers" else maps[:, rows]
    mean = np.maximum(samples.mean(axis=0), np.finfo(np.float64).tiny)
    values = np.maximum(samples.var(axis=0) / mean, _LEAST_REGULARIZER)
    return np.asarray(values[None], np.float32)


@dataclass(frozen=True)
class Cropped:
    """A square of the size that suits the target: around it, anywhere, or in the middle."""

    name: str
    settings: Settings
    place: Place

    def mask(self, observation: Observation, manifest: Manifest) -> Mask:
        """Return the kept pixels, (H, W)."""
        target, (width, height) = observation.case.target, observation.image.size
        if target is None:
            raise ValueError("a crop needs a target")
        side = round(max(target.side * _CROP, _LEAST * width))
        room = width - side, height - side
        left, top = np.clip(self._corner(observation.case, side), 0, room).astype(int)
        mask = np.zeros((height, width), np.bool_)
        mask[top : top + side, left : left + side] = True
        return mask

    def _corner(self, case: Case, side: int) -> tuple[float, float]:
        target, (width, height) = case.target, case.image.size
        if self.place == "oracle" and isinstance(target, Item):
            return target.x - side / 2, target.y - side / 2
        if self.place == "centre":
            return (width - side) / 2, (height - side) / 2
        seed = hashlib.sha256(case.question.encode() + case.image.tobytes()).digest()
        across, down = np.random.default_rng(list(seed)).random(2)
        return across * (width - side), down * (height - side)


#: One way, under the name that tables give it.
Attempt: TypeAlias = Carved | Cropped
