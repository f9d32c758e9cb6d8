"""Pictures of the main tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import Table
from tools.research.quality.breakdown import complexities, entropies, rows_of
from tools.research.quality.study import Study

_SIZE = (7.0, 4.0)


def plot_kinds(table: Table, path: Path) -> None:
    """Draw accuracies by kind of question as bars with their intervals."""
    names = ("plain", "CARVE", "question alone", "auto everywhere")
    figure, axes = plt.subplots(figsize=_SIZE)
    places = np.arange(len(table.rows))
    for index, name in enumerate(names):
        column = list(table.columns).index(name)
        cells = [row[column] for row in table.rows]
        known = [cell if isinstance(cell, Interval) else 3 * (np.nan,) for cell in cells]
        height, low, high = np.array(known).T
        error, width = (height - low, high - height), 0.8 / len(names)
        axes.bar(places + index * width, height, width, yerr=error, label=name)
    axes.set_xticks(places + 0.3, [str(row[0]) for row in table.rows])
    axes.set_ylabel("right, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize="small")
    _save(figure, path)


def plot_grid(table: Table, path: Path) -> None:
    """Draw accuracy over p and K."""
    values = np.array([row[1:] for row in table.rows], np.float64)
    figure, axes = plt.subplots(figsize=_SIZE)
    shown = axes.imshow(values, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white")
    axes.set_xticks(range(values.shape[1]), table.columns[1:])
    axes.set_yticks(range(values.shape[0]), [str(row[0]) for row in table.rows])
    axes.set_ylabel(table.columns[0])
    figure.colorbar(shown, label="right, %")
    _save(figure, path)


def plot_bins(table: Table, path: Path) -> None:
    """Draw accuracies over the bins of a table."""
    figure, axes = plt.subplots(figsize=_SIZE)
    labels = [str(row[0]) for row in table.rows]
    for index, name in enumerate(table.columns[2:], start=2):
        axes.plot(labels, [row[index] for row in table.rows], marker="o", label=name)
    axes.set_xlabel(table.columns[0])
    axes.set_ylabel("right, %")
    axes.legend(fontsize="small")
    _save(figure, path)


def plot_entropy(study: Study, path: Path) -> None:
    """Draw attention entropy against every measure of clutter."""
    observations = study.observations("small")
    entropy = entropies(observations, rows_of(study))
    measured = complexities(observations)
    figure, all_axes = plt.subplots(1, len(measured), figsize=_SIZE, sharey=True)
    for axes, (name, values) in zip(all_axes, measured.items(), strict=True):
        axes.scatter(values, entropy, s=4, alpha=0.5)
        axes.set_xlabel(name)
    all_axes[0].set_ylabel("attention entropy, nats")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
