"""Ask bundles the same questions, and compare what they answer and where they look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_export.precision.calibration import Entry
from carve_models.manifest import Quality
from carve_runtime.bundle import Bundle
from carve_runtime.carve import Carve


@dataclass(frozen=True)
class Outcome:
    """What a bundle made of one question, with its default settings.

    Attributes:
        answer: through CARVE.
        plain: the plain answer.
        mask: (H, W) bool, the regions that were kept.
        right: whether the answer is the right one; ``None`` if that is not known.
        points: whether the strongest token is on the object asked for; ``None`` if its place is not
            known, or CARVE was skipped.
    """

    answer: str
    plain: str | None
    mask: NDArray[np.bool_]
    right: bool | None
    points: bool | None


def ask_all(bundle: Bundle, entries: Sequence[Entry], folder: Path) -> Iterator[Outcome]:
    """Ask a bundle questions about images in a folder."""
    vlm = Carve(bundle)
    for entry in entries:
        found = vlm.ask(folder / entry.image, entry.question)
        right = None if entry.answer is None else found.answer == entry.answer
        points = points_at(found.saliency, found.grid, entry)
        yield Outcome(found.answer, found.plain_answer, found.mask, right, points)


def points_at(saliency: NDArray[np.float64], grid: tuple[int, int], entry: Entry) -> bool | None:
    """Return whether the saliency is largest on an object: in its box, or a token from its centre.

    Args:
        saliency: (H, W), NaN where the model saw nothing.
        grid: rows and columns of the tokens.
        entry: ``None`` is returned unless it has a box or a centre.
    """
    if (entry.center is None and entry.box is None) or np.isnan(saliency).all():
        return None
    height, width = saliency.shape
    row, column = np.unravel_index(np.nanargmax(saliency), saliency.shape)
    x, y = column + 0.5, row + 0.5
    inside = near = False
    if entry.box is not None:
        x0, y0, x1, y1 = entry.box
        inside = x0 <= x <= x1 and y0 <= y <= y1
    if entry.center is not None:
        rows, columns = grid
        near = abs(x - entry.center[0]) <= width / columns
        near = near and abs(y - entry.center[1]) <= height / rows
    return bool(inside or near)


def measure_quality(
    usual: Iterable[Outcome], lowered: Iterable[Outcome], precision: Mapping[str, str], size: float
) -> Quality:
    """Return how alike two bundles answered the same questions.

    Args:
        usual: outcomes of the bundle in float32.
        lowered: of the one in lower precision.
        precision: of its components that are not in float32.
        size: bytes of its graphs, relative to float32.
    """
    pairs = list(zip(usual, lowered, strict=True))
    overlaps = [mask_overlap(one.mask, other.mask) for one, other in pairs]
    return Quality(
        precision=dict(precision),
        questions=len(pairs),
        plain_agreement=float(np.mean([one.plain == other.plain for one, other in pairs])),
        answer_agreement=float(np.mean([one.answer == other.answer for one, other in pairs])),
        mask_overlap=float(np.mean(overlaps)),
        least_mask_overlap=float(np.min(overlaps)),
        size=size,
        right=_share(other.right for _, other in pairs),
        usual_right=_share(one.right for one, _ in pairs),
        pointing=_share(other.points for _, other in pairs),
        usual_pointing=_share(one.points for one, _ in pairs),
    )


def mask_overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the intersection over the union of two (H, W) masks; 1 if both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def _share(flags: Iterable[bool | None]) -> float | None:
    """Return the share of true values of those that are known, if any is."""
    known = [flag for flag in flags if flag is not None]
    return float(np.mean(known)) if known else None
