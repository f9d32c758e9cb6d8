"""Curves by layer, and maps laid over the first scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tools.research.pocket_l.pointing.contrast import (
    contrast,
    general_attention,
    question_attention,
    with_sum,
)
from tools.research.pocket_l.pointing.experiment import Choice
from tools.research.pocket_l.pointing.findings import Findings
from tools.research.pocket_l.pointing.questions import SceneQuestions
from tools.research.pocket_l.pointing.split import Split

_EXAMPLES = 4
_COLORS = {"contrast": "#c1272d", "question alone": "#0b5394"}
_OTHER_COLOR = "#888888"


def draw_curves(findings: Findings, path: Path) -> None:
    """Draw how often each layer points near the target, on the test split."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for title, shares in findings.curves.items():
        color = _COLORS.get(title, _OTHER_COLOR)
        layers = np.arange(len(shares) - 1)
        axes.plot(layers, 100 * np.array(shares[:-1]), "o-", ms=3, color=color, label=title)
    random = 100 * findings.rows[-1].near.estimate
    axes.axhline(random, color=_OTHER_COLOR, ls=":", label="a random token")
    axes.set_xlabel("layer")
    axes.set_ylabel("strongest token within one\nof the target, % of questions")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def draw_examples(
    scenes: Sequence[SceneQuestions],
    split: Split,
    choice: Choice,
    grid: tuple[int, int],
    path: Path,
) -> None:
    """Draw the first question of the split's first scenes, not picked by result.

    Args:
        scenes: the scenes of the split.
        split: their attention.
        choice: a way to contrast; its layer is shown.
        grid: rows and columns of the image's tokens.
        path: the picture.
    """
    question = question_attention(split, choice.wording)
    general = general_attention(split, choice.wording)
    if choice.regularizer is None:
        raise ValueError("the examples show a contrast")
    maps = [question, general, contrast(question, general, choice.regularizer)]
    titles = ("question's attention", "general attention", "contrast")
    asked = range(min(_EXAMPLES, len(scenes)))
    figure = Figure(figsize=(10.5, 2.9 * len(asked)), layout="constrained")
    axes = figure.subplots(len(asked), 1 + len(maps), squeeze=False)
    for row, number in zip(axes, asked, strict=True):
        index = int(np.searchsorted(split.scene, number))
        image = np.asarray(scenes[number].image)
        _panel(row[0], image, split.targets[index], grid, scenes[number].questions[0])
        for axis, title, values in zip(row[1:], titles, maps, strict=True):
            shown = with_sum(values[index : index + 1])[0, choice.layer].reshape(grid)
            _panel(axis, image, split.targets[index], grid, title)
            extent = (0, image.shape[1], image.shape[0], 0)
            axis.imshow(shown, extent=extent, cmap="magma", alpha=0.8, interpolation="nearest")
    figure.savefig(path, dpi=80)


def _panel(
    axis: Axes,
    image: NDArray[np.uint8],
    target: NDArray[np.int64],
    grid: tuple[int, int],
    title: str,
) -> None:
    """Show the image with the target's token framed."""
    height, width = image.shape[0] / grid[0], image.shape[1] / grid[1]
    axis.imshow(image)
    corner = (target[1] * width, target[0] * height)
    frame = Rectangle(corner, width, height, fill=False, ec="#00e0ff", lw=1.8, zorder=5)
    axis.add_patch(frame)
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()
