"""Accuracy and attention entropy by what a picture is like (paper, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from carve_eval.reporting.tables import Cell, P, Table
from carve_runtime.method.diagnostics import attention_entropy
from tools.research.pocket.world.cases import GROUPS, Case, Group, by_picture
from tools.research.quality.complexity import color_complexity, texture_complexity
from tools.research.quality.observations import Observation
from tools.research.quality.study import Study, percent, plainly_right

_BINS = 4
#: What a picture's clutter is measured by.
MEASURES: dict[str, Callable[[Case], float]] = {
    "objects": lambda case: case.objects + case.distractors,
    "texture": lambda case: texture_complexity(case.image),
    "color": lambda case: color_complexity(case.image),
}


def entropies(observations: Sequence[Observation], rows: Sequence[int]) -> NDArray[np.float64]:
    """Return the entropies of the question passes' last steps over some rows of the tap, (n,)."""
    return np.array([attention_entropy(each.question[-1][list(rows)]) for each in observations])


def by_clutter(study: Study) -> Table:
    """Return accuracies on small targets by the number of things in the picture."""
    values = [MEASURES["objects"](each.case) for each in study.observations("small")]
    return _by(study, "clutter", "Small targets by clutter", "things", np.array(values))


def by_size(study: Study) -> Table:
    """Return accuracies on small targets by the target's side."""
    targets = [each.case.target for each in study.observations("small")]
    sides = [target.side for target in targets if target]
    title = "Small targets by size, pixels of 640"
    return _by(study, "size", title, "side", np.array(sides))


def by_entropy(study: Study) -> Table:
    """Return accuracies by attention entropy, over all groups (paper, section 3.3)."""
    observations = [each for group in GROUPS for each in study.observations(group)]
    right = [study.outcomes(group, [study.default])[0].right for group in GROUPS]
    entropy = entropies(observations, rows_of(study))
    columns = {"plain": plainly_right(observations), "CARVE": np.concatenate(right)}
    title = "All questions by attention entropy, nats"
    return _binned("entropy_accuracy", title, "entropy", entropy, columns)


def _by(study: Study, name: str, title: str, label: str, values: NDArray[Any]) -> Table:
    oracle = study.crops()[0]
    carve, alone, cropped = study.outcomes("small", [study.default, study.alone, oracle])
    columns = {
        "plain": plainly_right(study.observations("small")),
        "CARVE": carve.right,
        "question alone": alone.right,
        "oracle crop": cropped.right,
        "in mask": carve.in_mask,
    }
    return _binned(name, title, label, values, columns)


def _binned(
    name: str, title: str, label: str, values: NDArray[Any], columns: dict[str, NDArray[np.bool_]]
) -> Table:
    """Cut the questions into bins of about equal number."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)))
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows: list[list[Cell]] = []
    for number in np.unique(bins):
        inside = bins == number
        low, high = values[inside].min(), values[inside].max()
        shown = f"{low:.2f} to {high:.2f}" if values.dtype.kind == "f" else f"{low} to {high}"
        cells = (percent(right[inside]) for right in columns.values())
        rows.append([shown, int(inside.sum()), *cells])
    return Table(name, title, (label, "number", *columns), rows, "Percent; bins of like number.")


def rows_of(study: Study) -> list[int]:
    """Return the rows of the tap that the default settings read."""
    return study.bundle.manifest.decoder.rows(study.defaults.layers)


def entropy_by_layer(study: Study) -> Table:
    """Return the mean attention entropy of every group and layer."""
    tapped = study.bundle.manifest.decoder.tapped_layers
    rows: list[list[Cell]] = []
    for group in GROUPS:
        observations = study.observations(group)
        means = [entropies(observations, [row]).mean() for row in range(len(tapped))]
        rows.append([group, *(round(float(mean), 2) for mean in means)])
    columns = ("questions", *(f"layer {layer}" for layer in tapped))
    largest = np.log(study.bundle.manifest.image.fewest_tokens)
    note = f"Nats, of the question pass's last step; an even spread has {largest:.2f}."
    return Table("entropy_layers", "Attention entropy by layer", columns, rows, note)


def entropy_and_complexity(study: Study) -> Table:
    """Return rank correlations of entropy with three measures of clutter (section 3.2)."""
    groups: tuple[Group, ...] = ("small", "distractor")
    observations = [each for group in groups for each in study.observations(group)]
    measured = complexities(observations)
    rows: list[list[Cell]] = []
    for row, layer in enumerate(study.bundle.manifest.decoder.tapped_layers):
        entropy = entropies(observations, [row])
        cells: list[Cell] = []
        for values in measured.values():
            test = stats.spearmanr(entropy, values)
            cells += [f"{test.statistic:+.2f}", P(float(test.pvalue))]
        rows.append([f"layer {layer}", *cells])
    heads = [head for name in measured for head in (name, f"p ({name})")]
    note = "Spearman's rank correlation over questions on small objects, and its p-value."
    title = "Attention entropy against clutter"
    return Table("entropy_complexity", title, ("entropy of", *heads), rows, note)


def complexities(observations: Sequence[Observation]) -> dict[str, list[float]]:
    """Return every measure of clutter for every question; each picture is measured once."""
    groups = list(by_picture(observations))
    return {
        name: [value for group in groups for value in [measure(group[0].case)] * len(group)]
        for name, measure in MEASURES.items()
    }
