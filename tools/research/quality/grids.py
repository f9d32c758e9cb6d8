"""One setting varied at a time, as in the paper's tables 1, 2 and 4 and its figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np

from carve_eval.reporting.tables import Cell, Table
from carve_models.settings import Steps
from tools.research.quality.attempts import Attempt, Carved
from tools.research.quality.observations import instructions
from tools.research.quality.study import Study, accuracy, paired_difference, percent

SHARES = (0.03, 0.05, 0.08, 0.12, 0.2, 0.4)
REGIONS = (1, 2, 3)


def share_by_regions(study: Study) -> Table:
    """Return accuracy over p and K (figure 7)."""
    settings = study.defaults.override(rule="paper")
    attempts = [
        Carved(f"{share}, {count}", settings.override(mask_top_p=share, max_regions=count))
        for share, count in product(SHARES, REGIONS)
    ]
    outcomes = study.outcomes("small", attempts, study.size.grid)
    right = np.reshape([percent(outcome.right) for outcome in outcomes], (-1, len(REGIONS)))
    rows = [[f"{share:g}", *row] for share, row in zip(SHARES, right.tolist(), strict=True)]
    columns = ("share p", *(f"K {count}" for count in REGIONS))
    number = len(study.observations("small", study.size.grid))
    note = f"Percent right of {number} questions on small targets."
    return Table("share_regions", "Share by number of regions", columns, rows, note)


def steps(study: Study) -> Table:
    """Return accuracy by fused steps (table 1)."""
    settings = study.defaults
    attempts = [Carved(name, settings.override(steps=name)) for name in get_args(Steps)]
    return _compare(study, "steps", "Steps", "steps", attempts)


def layers(study: Study) -> Table:
    """Return accuracy by fused layers: each alone, neighbours, all (table 2)."""
    tapped = study.bundle.manifest.decoder.tapped_layers
    sets = [tuple(tapped[i : i + size]) for size in (1, 2) for i in range(len(tapped) - size + 1)]
    chosen = dict.fromkeys([*sets, tuple(tapped)])
    attempts = [
        Carved("+".join(map(str, layers)), study.defaults.override(layers=layers))
        for layers in chosen
    ]
    return _compare(study, "layers", "Layers", "layers", attempts)


def general_instructions(study: Study) -> Table:
    """Return accuracy by general instruction, with the contrast on (table 4)."""
    settings = study.defaults.override(contrast="on")
    attempts = [
        Carved(text, settings, instruction=number)
        for number, text in enumerate(instructions(study.bundle.manifest))
    ]
    return _compare(study, "instructions", "General instructions", "instruction", attempts)


def _compare(study: Study, name: str, title: str, label: str, attempts: Sequence[Attempt]) -> Table:
    pictures = study.size.grid
    observations = study.observations("small", pictures)
    reference = study.outcomes("small", [study.default], pictures)[0].right
    rows: list[list[Cell]] = []
    for attempt, outcome in zip(attempts, study.outcomes("small", attempts, pictures), strict=True):
        rows.append(
            [
                attempt.name,
                accuracy(outcome.right, observations),
                percent(outcome.in_mask),
                *paired_difference(outcome.right, reference),
            ]
        )
    columns = (label, "right", "in mask", "it : default", "p")
    note = f"Percent of {len(observations)} questions on small targets; the rest as in the bundle."
    return Table(name, title, columns, rows, note)
