"""Choose CARVE's settings on the development split, through the exported bundle.

python -m tools.research.pocket.evaluate search --out build/pocket

One setting after another, each with the best of what was chosen before: where to look by pointing,
then the share, the regions, whether to contrast and the final prompt by :func:`score`. What the
test split says is the business of ``python -m tools.research.quality``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np

from carve_export import ExportOptions, export_bundle
from carve_models.cli import parse_layers
from carve_models.settings import AUTO, Auto, Contrast, FinalPrompt, Settings, Steps
from carve_runtime.bundle import open_bundle
from tools.research.pocket.world.cases import Group
from tools.research.quality.attempts import Carved
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.observations import Observation
from tools.research.quality.study import Size, Study, percent, plainly_right
from tools.shared.log import start_log
from tools.shared.models.bundles import fixed_grid, map_of_tokens

_LOG = logging.getLogger(__name__)
_STEPS: tuple[Steps, ...] = ("first", "all")
_REGULARIZERS: tuple[float | Auto, ...] = (1e-8, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, AUTO)
_SHARES: tuple[float | Auto, ...] = (AUTO, 0.03, 0.05, 0.08, 0.12)
_REGIONS = (1, 2)
#: CARVE is for the first, and should do no harm to the others.
_WON: tuple[Group, ...] = ("small", "distractor")
_KEPT: tuple[Group, ...] = ("large", "general", "easy")
#: Points that may be lost on a group at no charge.
_TOLERANCE = 1.0
#: Fields that the search decides.
_CHOSEN = (
    *("layers", "steps", "contrast", "regularizer", "mask_top_p", "max_regions"),
    *("rule", "final_prompt"),
)
_PROMPTS = {"suffix": ""}


@click.group(context_settings={"show_default": True})
def main() -> None:
    """Choose settings for a trained checkpoint."""


@main.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--pictures", default=50, help="Pictures of each group of the development split.")
@click.option("--layers", callback=parse_layers, help="Layers to choose from; all if not given.")
@click.option(
    "--contrast",
    type=click.Choice(get_args(Contrast)),
    multiple=True,
    default=get_args(Contrast),
    help="Ways to contrast to choose from.",
)
def search(
    out: Path, pictures: int, layers: tuple[int, ...] | None, contrast: tuple[Contrast, ...]
) -> None:
    """Export OUT/checkpoint to OUT/bundle, choose, and write OUT/settings.json for carve-export."""
    start_log(out / "evaluate.log")
    bundle = _export(out / "checkpoint", out / "bundle")
    cached = CachedBundle(open_bundle(bundle), out / "cache")
    study = Study(cached, "dev", Size(pictures, pictures))
    tapped = study.bundle.manifest.decoder.tapped_layers
    chosen = choose(study, layers or tapped, contrast)
    defaults = {name: value for name, value in vars(chosen).items() if name in _CHOSEN}
    text = json.dumps({"prompts": _PROMPTS, "defaults": defaults}, indent=2)
    (out / "settings.json").write_text(text + "\n")
    click.echo(f"{out / 'settings.json'}: {text}")


def _export(checkpoint: Path, bundle: Path) -> Path:
    """Export with every layer exposed."""
    config = json.loads((checkpoint / "config.json").read_text())
    layers = tuple(range(config["text_config"]["num_hidden_layers"]))
    options = ExportOptions(layers=layers, prompts=_PROMPTS, overwrite=True)
    return export_bundle(str(checkpoint), bundle, options).folder


def choose(
    study: Study, layers: Sequence[int], contrasts: Sequence[Contrast] = get_args(Contrast)
) -> Settings:
    """Return the best settings of one part of the splits."""
    pointers = _pointers(study, layers, contrasts)
    best = _best(
        study,
        [
            pointers[0].override(mask_top_p=share, max_regions=count)
            for share, count in product(_SHARES, _REGIONS)
        ],
    )
    region: dict[str, Any] = {"mask_top_p": best.mask_top_p, "max_regions": best.max_regions}
    best = _best(study, [best, *(pointer.override(**region) for pointer in pointers[1:])])
    return _best(study, [best.override(final_prompt=prompt) for prompt in get_args(FinalPrompt)])


def _pointers(study: Study, layers: Sequence[int], contrasts: Sequence[Contrast]) -> list[Settings]:
    """Return the settings that point best: of all, and with each choice of contrast."""
    sets = [(layer,) for layer in layers] + [tuple(p) for p in pairwise(layers)]
    rates: dict[Settings, float] = {}
    for chosen, steps in product(dict.fromkeys([*sets, tuple(layers)]), _STEPS):
        settings = study.defaults.override(layers=chosen, steps=steps, rule="paper")
        ways = [
            settings.override(contrast=contrast, regularizer=regularizer)
            for contrast in contrasts
            for regularizer in (_REGULARIZERS if contrast == "on" else (AUTO,))
        ]
        for way in ways:
            rates[way] = float(np.mean([_pointing(study, group, way) for group in _WON]))
            _LOG.info("pointing %.3f: %s", rates[way], _spell(way))
    ranked = sorted(rates, key=lambda way: -rates[way])
    first = [next(way for way in ranked if way.contrast == contrast) for contrast in contrasts]
    return list(dict.fromkeys([ranked[0], *first]))


def _pointing(study: Study, group: Group, settings: Settings) -> float:
    observations = study.observations(group)
    return float(np.mean([points_at_target(study, each, settings) for each in observations]))


def points_at_target(study: Study, observation: Observation, settings: Settings) -> bool:
    """Return whether the strongest token is the target's or next to it."""
    rows, columns = fixed_grid(study.bundle.manifest)
    layers = study.bundle.manifest.decoder.rows(settings.layers)
    question, general = observation.question[:, layers], observation.general[0][:, layers]
    saliency = map_of_tokens(question, general, settings, (rows, columns))
    row, column = np.unravel_index(saliency.argmax(), saliency.shape)
    target, (width, height) = observation.case.target, observation.image.size
    if target is None:
        return False
    across, down = target.x / width * columns, target.y / height * rows
    return bool(max(abs(across - column - 0.5), abs(down - row - 0.5)) <= 1)


def _best(study: Study, candidates: Iterable[Settings]) -> Settings:
    """Return the candidate of the highest score; of equal ones the first."""
    tried = [Carved("", settings) for settings in dict.fromkeys(candidates)]
    won, kept = _accuracies(study, tried, _WON), _accuracies(study, tried, _KEPT)
    plain = [percent(plainly_right(study.observations(group))) for group in _KEPT]
    scores = [score(won[:, index], kept[:, index], plain) for index in range(len(tried))]
    for attempt, value, gain, rest in zip(tried, scores, won.T, kept.T, strict=True):
        _LOG.info("score %.1f, %s %s: %s", value, gain, rest, _spell(attempt.settings))
    return tried[int(np.argmax(scores))].settings


def score(won: Any, kept: Any, plain: Any) -> float:
    """Return what is right on small targets, minus what is lost elsewhere.

    A point lost against the plain answer, beyond a tolerated one, costs as much as a point won.

    Args:
        won: percentages of CARVE on the groups that it is for.
        kept: percentages of CARVE on the groups that it should not harm.
        plain: percentages of the plain answer on the latter.
    """
    lost = np.maximum(np.asarray(plain) - np.asarray(kept) - _TOLERANCE, 0)
    return float(np.mean(won) - lost.sum())


def _accuracies(study: Study, tried: Sequence[Carved], groups: Sequence[Group]) -> Any:
    """Return percentages, (groups, candidates)."""
    return np.array(
        [[percent(outcome.right) for outcome in study.outcomes(group, tried)] for group in groups]
    )


def _spell(settings: Settings) -> str:
    return ", ".join(f"{name} {getattr(settings, name)}" for name in _CHOSEN)


if __name__ == "__main__":
    main()
