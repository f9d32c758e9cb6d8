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
    """What a bundle answered to one question, with its default settings.

    Attributes:
        answer: through CARVE.
        plain: the plain answer.
        mask: (H, W) bool, the regions that were kept.
        right: whether the answer is right; ``None`` if the right answer is not known.
        points: whether the strongest token is on the object asked for; ``None`` if its place is not
            known or CARVE was skipped.
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
        result = vlm.ask(folder / entry.image, entry.question)
        right = None if entry.answer is None else result.answer == entry.answer
        points = points_at(result.saliency, result.grid, entry)
        yield Outcome(result.answer, result.plain_answer, result.mask, right, points)


def points_at(saliency: NDArray[np.float64], grid: tuple[int, int], entry: Entry) -> bool | None:
    """Return whether the saliency is largest on an object: in its box, or near its centre.

    Near is at most one token away.

    Args:
        saliency: (H, W), NaN where the model saw nothing.
        grid: rows and columns of the tokens.
        entry: the question; without a box and a centre, ``None`` is returned.
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
    baseline: Iterable[Outcome],
    lowered: Iterable[Outcome],
    precision: Mapping[str, str],
    size: float,
) -> Quality:
    """Return how alike two bundles answered the same questions.

    Args:
        baseline: outcomes of the bundle in float32.
        lowered: outcomes of the bundle in lower precision.
        precision: of its components that are not in float32.
        size: bytes of its graphs, relative to float32.
    """
    exact, coarse = list(baseline), list(lowered)
    pairs = list(zip(exact, coarse, strict=True))
    overlaps = [mask_overlap(left.mask, right.mask) for left, right in pairs]
    return Quality(
        precision=dict(precision),
        questions=len(pairs),
        plain_agreement=float(np.mean([left.plain == right.plain for left, right in pairs])),
        answer_agreement=float(np.mean([left.answer == right.answer for left, right in pairs])),
        mask_overlap=float(np.mean(overlaps)),
        least_mask_overlap=float(np.min(overlaps)),
        size=size,
        right=_share(outcome.right for outcome in coarse),
        usual_right=_share(outcome.right for outcome in exact),
        pointing=_share(outcome.points for outcome in coarse),
        usual_pointing=_share(outcome.points for outcome in exact),
    )


def mask_overlap(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """Return the intersection over the union of two (H, W) masks; 1 if both are empty."""
    union = np.count_nonzero(left | right)
    return np.count_nonzero(left & right) / union if union else 1.0


def _share(flags: Iterable[bool | None]) -> float | None:
    """Return the share of true values among those that are known; ``None`` if none is."""
    known = [flag for flag in flags if flag is not None]
    return float(np.mean(known)) if known else None
