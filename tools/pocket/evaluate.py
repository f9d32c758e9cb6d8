"""Search CARVE's settings on the development split, then measure on the test split.

python -m tools.pocket.evaluate search --out build/pocket
python -m tools.pocket.evaluate test --out build/pocket
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from carve_models.settings import Settings, Steps
from tools.pocket.cases import GROUPS, Group, cases
from tools.pocket.console import start_log
from tools.pocket.inference import Checkpoint
from tools.pocket.refinement import Looked

_LOG = logging.getLogger(__name__)
#: Layers without grounding supervision, alone and together.
_LAYERS = ((2,), (3,), (2, 3))
_STEPS: tuple[Steps, ...] = ("first", "all")
_REGULARIZERS = (1e-8, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_SHARES = (0.03, 0.05, 0.08, 0.12)
_REGIONS = (1,)
_POINTERS_TRIED = 2


@click.group(context_settings={"show_default": True})
@click.option("--threads", default=2)
def main(threads: int) -> None:
    """Measure a trained checkpoint in PyTorch."""
    torch.set_num_threads(threads)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--pictures", default=60, help="Pictures of the development split.")
def search(out: Path, pictures: int) -> None:
    """Choose settings by pointing, then by accuracy; write OUT/settings.json."""
    start_log(out / "evaluate.log")
    looked = Looked(Checkpoint(out / "checkpoint"), list(cases("dev", "small", pictures)))
    pointing: dict[Settings, float] = {}
    for layers, steps, regularizer in product(_LAYERS, _STEPS, _REGULARIZERS):
        settings = Settings(
            layers=layers, steps=steps, regularizer=regularizer, rule="paper", max_regions=1
        )
        pointing[settings] = looked.points_at_target(settings)
        alone = looked.points_at_target(settings, contrast=False)
        _LOG.info(
            "%s %s %g: %.3f alone %.3f", layers, steps, regularizer, pointing[settings], alone
        )
    best = sorted(pointing, key=lambda one: -pointing[one])[:_POINTERS_TRIED]
    accuracy: dict[Settings, float] = {}
    for pointer, share, regions in product(best, _SHARES, _REGIONS):
        settings = pointer.override(mask_top_p=share, max_regions=regions, final_prompt="refined")
        accuracy[settings] = _percent(looked.right(looked.carve(settings)))
        _LOG.info("%s: %.1f", settings, accuracy[settings])
    chosen = max(accuracy, key=lambda one: accuracy[one])
    pair = chosen.override(final_prompt="pair")
    accuracy[pair] = _percent(looked.right(looked.carve(pair)))
    chosen = max(chosen, pair, key=lambda one: accuracy[one])
    (out / "settings.json").write_text(json.dumps(asdict(chosen), indent=2) + "\n")
    click.echo(f"{accuracy[chosen]:.1f} % with {chosen}")


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--pictures", default=340, help="Pictures of every group.")
@click.option("--part", type=click.Choice(["dev", "test"]), default="test")
@click.option("--group", "groups", type=click.Choice(GROUPS), multiple=True, default=GROUPS)
def test(out: Path, pictures: int, part: Any, groups: tuple[Group, ...]) -> None:
    """Measure groups of questions with OUT/settings.json; add to OUT/figures-PART.json."""
    start_log(out / "evaluate.log")
    settings = Settings(**json.loads((out / "settings.json").read_text()))
    checkpoint = Checkpoint(out / "checkpoint")
    path = out / f"figures-{part}.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    for group in groups:
        figures[group] = measure(checkpoint, settings, part, group, pictures)
        path.write_text(json.dumps(figures, indent=2) + "\n")
        _LOG.info("%s %s", group, figures[group])
    _show(figures)


def measure(
    checkpoint: Checkpoint, settings: Settings, part: Any, group: Group, pictures: int
) -> dict[str, float]:
    """Return the figures of one group, accuracies in percent."""
    looked = Looked(checkpoint, list(cases(part, group, pictures)))
    plain = looked.right([reply.text for reply in looked.plain])
    found = {
        "questions": float(len(plain)),
        "plain": _percent(plain),
        "carve": _percent(looked.right(looked.carve(settings))),
        "question alone": _percent(looked.right(looked.carve(settings, contrast=False))),
    }
    if all(case.target for case in looked.cases):
        found["oracle"] = _percent(looked.right(looked.oracle(settings)))
        found["pointing"] = 100 * looked.points_at_target(settings)
        found["pointing alone"] = 100 * looked.points_at_target(settings, contrast=False)
    for kind in sorted({case.kind for case in looked.cases}):
        chosen = [hit for hit, case in zip(plain, looked.cases, strict=True) if case.kind == kind]
        found[f"plain {kind}"] = _percent(chosen)
    return found


def _percent(right: list[bool]) -> float:
    return round(100 * float(np.mean(right)), 1)


def _show(figures: dict[Group, dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    table = Table("", *figures)
    for name in names:
        table.add_row(
            name, *(f"{row[name]:.1f}" if name in row else "" for row in figures.values())
        )
    Console().print(table)


if __name__ == "__main__":
    main()
