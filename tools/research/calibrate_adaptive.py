"""Find the thresholds of the adaptive mode on pocket's development split.

python -m tools.research.calibrate_adaptive          # writes them into models/pocket/settings.json

Export the bundle again afterwards: the thresholds are part of its defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import click
import numpy as np

from carve_eval.reporting.progress import progress
from carve_models.replacing import write_json
from carve_runtime import Carve
from tools.research.pocket.world.cases import GROUPS, cases

_QUANTILES = np.linspace(0, 1, 21)
_PROBABILITY, _ENTROPY = "sure_probability", "focused_entropy"


@dataclass(frozen=True)
class Asked:
    """One question of the split: what the mode looks at, and whether either answer is right."""

    probability: float
    entropy: float
    plain: bool
    carve: bool


@dataclass(frozen=True)
class Thresholds:
    """A choice, and what it does to the split: shares of the questions."""

    probability: float
    entropy: float
    skipped: float
    accuracy: float


@click.command(context_settings={"show_default": True})
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if not given.")
@click.option("--pictures", default=60, help="Pictures of each group.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    default=Path("models/pocket/settings.json"),
    help="File whose defaults receive the thresholds.",
)
def main(bundle: Path | None, pictures: int, settings: Path) -> None:
    """Ask the split, choose the thresholds that skip most without losing a right answer."""
    asked = list(_ask(Carve.load(bundle), pictures))
    carve = float(np.mean([question.carve for question in asked]))
    chosen = choose(asked)
    click.echo(
        f"of {len(asked)} questions: CARVE {carve:.1%} right, adaptive {chosen.accuracy:.1%}, "
        f"{chosen.skipped:.1%} skipped with probability >= {chosen.probability:.4f} and "
        f"entropy <= {chosen.entropy:.4f}"
    )
    document = json.loads(settings.read_text())
    document["defaults"] |= {_PROBABILITY: chosen.probability, _ENTROPY: chosen.entropy}
    write_json(settings, document)


def choose(asked: list[Asked]) -> Thresholds:
    """Return the pair that skips the most questions at no less accuracy than CARVE for all.

    Candidates are quantiles of both. Where no pair qualifies but the one that skips
    nothing, that one is returned.
    """
    probability, entropy, plain, carve = (
        np.array([getattr(question, field.name) for question in asked]) for field in fields(Asked)
    )
    best = Thresholds(1.0, 0.0, 0.0, float(carve.mean()))
    for sure, focused in product(
        np.quantile(probability, _QUANTILES), np.quantile(entropy, _QUANTILES)
    ):
        skipped = (probability >= sure) & (entropy <= focused)
        accuracy = float(np.where(skipped, plain, carve).mean())
        rank = (skipped.mean(), accuracy)
        if accuracy >= carve.mean() and rank > (best.skipped, best.accuracy):
            best = Thresholds(float(sure), float(focused), float(skipped.mean()), accuracy)
    return best


def _ask(vlm: Carve, pictures: int) -> Iterator[Asked]:
    split = [case for group in GROUPS for case in cases("dev", group, pictures)]
    for case in progress(split, "development split"):
        result = vlm.ask(case.image, case.question)
        if result.plain_probability is not None:
            yield Asked(
                result.plain_probability,
                result.entropy,
                result.plain_answer == case.answer,
                result.answer == case.answer,
            )


if __name__ == "__main__":
    main()
