"""One setting varied at a time, as in the paper's tables 1, 2 and 4 and its figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from carve_models.settings import Steps
from tools.research.quality.attempts import Attempt, Carved
from tools.research.quality.looks import instructions
from tools.research.quality.study import Study, accuracy, paired_difference, percent
from tools.shared.tables import Cell, P, Table

SHARES = (0.03, 0.05, 0.08, 0.12, 0.2, 0.4)
REGIONS = (1, 2, 3)


def share_by_regions(study: Study) -> Table:
    """Return accuracy over p and K (figure 7)."""
    settings = study.defaults.override(rule="paper")
    attempts = [
        [
            Carved(f"{share}, {count}", settings.override(mask_top_p=share, max_regions=count))
            for count in REGIONS
        ]
        for share in SHARES
    ]
    looks = study.looks("small", study.size.grid)
    found = study.outcomes("small", [one for row in attempts for one in row], study.size.grid)
    right = [percent(one.right) for one in found]
    rows: list[list[Cell | P]] = [
        [f"{share:g}", *right[index * len(REGIONS) : (index + 1) * len(REGIONS)]]
        for index, share in enumerate(SHARES)
    ]
    columns = ("share p", *(f"K {count}" for count in REGIONS))
    note = f"Percent right of {len(looks)} questions on small targets."
    return Table("share_regions", "Share by number of regions", columns, rows, note)


def steps(study: Study) -> Table:
    """Return accuracy by fused steps (table 1)."""
    settings = study.defaults
    attempts = [Carved(name, settings.override(steps=name)) for name in get_args(Steps)]
    return _compare(study, "steps", "Steps", "steps", attempts)


def layers(study: Study) -> Table:
    """Return accuracy by fused layers: each alone, neighbours, all (table 2)."""
    tapped = study.bench.manifest.decoder.tapped_layers
    sets = [tuple(tapped[i : i + size]) for size in (1, 2) for i in range(len(tapped) - size + 1)]
    chosen = dict.fromkeys([*sets, tuple(tapped)])
    attempts = [
        Carved("+".join(map(str, one)), study.defaults.override(layers=one)) for one in chosen
    ]
    return _compare(study, "layers", "Layers", "layers", attempts)


def general_instructions(study: Study) -> Table:
    """Return accuracy by general instruction, with the contrast on (table 4)."""
    settings = study.defaults.override(contrast="on")
    attempts = [
        Carved(text, settings, instruction=number)
        for number, text in enumerate(instructions(study.bench.manifest))
    ]
    return _compare(study, "instructions", "General instructions", "instruction", attempts)


def _compare(study: Study, name: str, title: str, label: str, attempts: Sequence[Attempt]) -> Table:
    pictures = study.size.grid
    looks = study.looks("small", pictures)
    reference = study.outcomes("small", [study.default], pictures)[0].right
    rows: list[list[Cell | P]] = []
    for attempt, outcome in zip(attempts, study.outcomes("small", attempts, pictures), strict=True):
        rows.append(
            [
                attempt.name,
                accuracy(outcome.right, looks),
                percent(outcome.in_mask),
                *paired_difference(outcome.right, reference),
            ]
        )
    columns = (label, "right", "in mask", "it : default", "p")
    note = f"Percent of {len(looks)} questions on small targets; the rest as in the bundle."
    return Table(name, title, columns, rows, note)
