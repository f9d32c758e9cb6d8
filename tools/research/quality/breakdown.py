"""Accuracy and attention entropy by what a picture is like (paper, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from carve_runtime.method.diagnostics import attention_entropy
from tools.research.pocket.cases import GROUPS
from tools.research.quality.complexity import color_complexity, texture_complexity
from tools.research.quality.looks import Look
from tools.research.quality.study import Study, percent, plainly_right
from tools.shared.tables import Cell, P, Table

_BINS = 4
#: What a picture's clutter is measured by.
MEASURES: dict[str, Callable[[Look], float]] = {
    "objects": lambda look: look.case.objects + look.case.distractors,
    "texture": lambda look: texture_complexity(look.case.image),
    "color": lambda look: color_complexity(look.case.image),
}


def entropy_of(look: Look, rows: Sequence[int]) -> float:
    """Return the entropy of the question pass's last step over some rows of the tap."""
    return attention_entropy(look.question[-1][list(rows)])


def by_clutter(study: Study) -> Table:
    """Return accuracies on small targets by the number of things in the picture."""
    values = [look.case.objects + look.case.distractors for look in study.looks("small")]
    return _by(study, "clutter", "Small targets by clutter", "things", np.array(values))


def by_size(study: Study) -> Table:
    """Return accuracies on small targets by the target's side."""
    sides = [look.case.target.side for look in study.looks("small") if look.case.target]
    title = "Small targets by size, pixels of 640"
    return _by(study, "size", title, "side", np.array(sides))


def by_entropy(study: Study) -> Table:
    """Return accuracies by attention entropy, over all groups (paper, section 3.3)."""
    rows = rows_of(study)
    looks = [look for group in GROUPS for look in study.looks(group)]
    found = [study.outcomes(group, [study.default])[0].right for group in GROUPS]
    entropy = np.array([entropy_of(look, rows) for look in looks])
    columns = {"plain": plainly_right(looks), "CARVE": np.concatenate(found)}
    title = "All questions by attention entropy, nats"
    return _binned("entropy_accuracy", title, "entropy", entropy, columns)


def _by(study: Study, name: str, title: str, label: str, values: NDArray[Any]) -> Table:
    looks = study.looks("small")
    oracle = study.crops()[0]
    carve, alone, cropped = study.outcomes("small", [study.default, study.alone, oracle])
    columns = {
        "plain": plainly_right(looks),
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
    rows: list[list[Cell | P]] = []
    for one in np.unique(bins):
        inside = bins == one
        low, high = values[inside].min(), values[inside].max()
        shown = f"{low:.2f} to {high:.2f}" if values.dtype.kind == "f" else f"{low} to {high}"
        cells = (percent(right[inside]) for right in columns.values())
        rows.append([shown, int(inside.sum()), *cells])
    return Table(name, title, (label, "number", *columns), rows, "Percent; bins of like number.")


def rows_of(study: Study) -> list[int]:
    """Return the rows of the tap that the default settings read."""
    return study.bench.manifest.decoder.rows(study.defaults.layers)


def entropy_by_layer(study: Study) -> Table:
    """Return the mean attention entropy of every group and layer."""
    tapped = study.bench.manifest.decoder.tapped_layers
    rows: list[list[Cell | P]] = []
    for group in GROUPS:
        looks = study.looks(group)
        means = [np.mean([entropy_of(look, [row]) for look in looks]) for row in range(len(tapped))]
        rows.append([group, *(round(float(mean), 2) for mean in means)])
    columns = ("questions", *(f"layer {layer}" for layer in tapped))
    largest = np.log(study.bench.manifest.image.fewest_tokens)
    note = f"Nats, of the question pass's last step; an even spread has {largest:.2f}."
    return Table("entropy_layers", "Attention entropy by layer", columns, rows, note)


def entropy_and_complexity(study: Study) -> Table:
    """Return rank correlations of entropy with three measures of clutter (section 3.2)."""
    looks = [look for group in ("small", "distractor") for look in study.looks(group)]
    measured = complexities(looks)
    tapped = study.bench.manifest.decoder.tapped_layers
    chosen = {f"layer {layer}": [row] for row, layer in enumerate(tapped)}
    rows: list[list[Cell | P]] = []
    for name, layers in chosen.items():
        entropy = [entropy_of(look, layers) for look in looks]
        found = [stats.spearmanr(entropy, values) for values in measured.values()]
        cells = [cell for one in found for cell in (f"{one.statistic:+.2f}", P(float(one.pvalue)))]
        rows.append([name, *cells])
    heads = [head for name in measured for head in (name, f"p ({name})")]
    note = "Spearman's rank correlation over questions on small objects, and its p-value."
    title = "Attention entropy against clutter"
    return Table("entropy_complexity", title, ("entropy of", *heads), rows, note)


def complexities(looks: Sequence[Look]) -> dict[str, list[float]]:
    """Return every measure of clutter for every question; each picture is measured once."""
    found: dict[tuple[str, int], float] = {}
    for name, measure in MEASURES.items():
        for look in looks:
            key = name, id(look.case.image)
            if key not in found:
                found[key] = measure(look)
    return {name: [found[name, id(look.case.image)] for look in looks] for name in MEASURES}
