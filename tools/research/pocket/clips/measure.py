"""Measure CARVE over time on clips of the test split: trained on clips, and pocket as it is.

python -m tools.research.pocket.clips.measure            # prints the tables
python -m tools.research.pocket.clips.measure --write    # and puts them into docs/video.md

Settings are those that the default bundle ships with, and the defaults of clips: none was chosen
here. The same command again goes on where an interrupted one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
import numpy as np

from carve_eval.reporting.statistics import bootstrap_interval
from carve_eval.reporting.tables import Cell, Table, interval_cell, open_console
from carve_models.cli import ErrorCommand
from carve_models.replacing import replacing, write_json
from carve_runtime import Carve
from tools.checks.figures import IMAGES, publish
from tools.research.pocket.clips.cases import GROUPS, ClipCase, Group, clip_cases
from tools.research.pocket.clips.ways import CARVE, PLAIN, SPREAD, WAYS, Asked, Told, ask_all
from tools.research.pocket.world.cases import Part
from tools.research.pocket.world.questions import Kind
from tools.research.quality.cached_bundle import Flags
from tools.research.quality.study import paired_difference, percent
from tools.shared.models.bundles import fingerprint
from tools.shared.report import Report

_COMMAND = "python -m tools.research.pocket.clips.measure"
#: Models by the name of their folder.
_MODELS = {"trained": "pocket trained on clips", "untrained": "pocket as it is"}
#: What accuracies are reported of: a group, and kinds of its questions.
_CATEGORIES: dict[str, tuple[Group, tuple[Kind, ...]]] = {
    "text, small": ("small", ("read",)),
    "text, large": ("large", ("read",)),
    "colour or shape": ("other", ("color", "shape")),
    "place": ("other", ("where",)),
}
_STRIP, _STRIP_SIZE, _TRIED = "clip-strip.jpg", (1600, 1600), 20


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/clips"))
@click.option("--model", "models", type=click.Choice([*_MODELS]), multiple=True, default=[*_MODELS])
@click.option("--part", type=click.Choice(get_args(Part)), default="test")
@click.option("--clips", type=click.IntRange(1), default=105, help="Clips of the group small.")
@click.option("--others", type=click.IntRange(1), default=25, help="Clips of the other groups.")
@click.option("--write", is_flag=True, help="Put tables and a strip into the documentation.")
def main(
    out: Path, models: tuple[str, ...], part: Part, clips: int, others: int, write: bool
) -> None:
    """Measure OUT/MODEL/bundle for each model."""
    if write and (part != "test" or set(models) != set(_MODELS)):
        raise click.UsageError("--write is for the test part and all models")
    numbers: dict[Group, int] = dict.fromkeys(GROUPS, others) | {"small": clips}
    console, tables, settings = open_console(), list[Table](), {}
    for model in models:
        vlm = Carve.load(out / model / "bundle")
        settings = asdict(vlm.manifest.defaults)
        for table in measure(vlm, model, part, numbers, out / "answers.sqlite"):
            table.show(console)
            tables.append(table)
    report = Report(_COMMAND, tables, settings)
    write_json(out / f"{part}-clips.json", report)
    if write:
        publish("clips", report)
        draw(Carve.load(out / models[0] / "bundle"), IMAGES / _STRIP)


def measure(
    vlm: Carve, model: str, part: Part, clips: dict[Group, int], file: Path
) -> Iterator[Table]:
    """Yield the accuracies in every group, and the comparisons on small targets.

    Args:
        vlm: the bundle.
        model: its name.
        part: the split.
        clips: how many of each group.
        file: where answers are kept.
    """
    name = fingerprint(vlm.manifest)
    asked = {group: ask_all(vlm, name, part, group, clips[group], file) for group in GROUPS}
    yield _accuracies(
        model, {name: asked[group].of_kinds(kinds) for name, (group, kinds) in _CATEGORIES.items()}
    )
    yield _comparisons(model, asked["small"])


def _accuracies(model: str, asked: dict[str, Asked]) -> Table:
    rows: list[list[Cell]] = [
        ["questions", *(len(each.cases) for each in asked.values())],
        ["clips", *(len({case.number for case in each.cases}) for each in asked.values())],
    ]
    for way in WAYS:
        rows.append([way, *(_accuracy(each, way) for each in asked.values())])
    note = (
        "Percent right, with 95 % intervals, clips resampled. All questions are about an object "
        "that comes and goes; those of the last two columns about a small one."
    )
    title = f"Clips: {_MODELS[model]}"
    return Table(f"{model}", title, ("way", *asked), rows, note)


def _comparisons(model: str, asked: Asked) -> Table:
    rows: list[list[Cell]] = []
    right = {way: _flags(asked, way, Told.is_right) for way in WAYS}
    for way in WAYS:
        time, box = (percent(_flags(asked, way, found)) for found in (Told.in_time, Told.in_box))
        rows.append(
            [
                way,
                time if any(told.seconds for told in asked.told[way]) else None,
                box if any(told.box for told in asked.told[way]) else None,
                *_against(right, way, PLAIN),
                *_against(right, way, SPREAD),
                *_against(right, way, CARVE),
            ]
        )
    note = (
        "In time, in box: percent of the questions whose interval has a part of the target's, and "
        "whose box has its centre. A : B counts the questions that only A, and only B, answers "
        "rightly; p is McNemar's, exact."
    )
    columns = (
        *("way", "in time", "in box", "it : plain", "p", "it : uniform", "p"),
        *("it : CARVE", "p"),
    )
    return Table(f"{model}_paired", f"Small targets: {_MODELS[model]}", columns, rows, note)


def _against(right: dict[str, Flags], way: str, other: str) -> tuple[Cell, Cell]:
    return (None, None) if way == other else paired_difference(right[way], right[other])


def _accuracy(asked: Asked, way: str) -> Cell:
    clusters = [case.number for case in asked.cases]
    right = _flags(asked, way, Told.is_right)
    return interval_cell(bootstrap_interval(right, clusters=clusters).percent)


def _flags(asked: Asked, way: str, holds: Callable[[Told, ClipCase], bool]) -> Flags:
    pairs = zip(asked.told[way], asked.cases, strict=True)
    return np.array([holds(told, case) for told, case in pairs], np.bool_)


def draw(vlm: Carve, path: Path) -> None:
    """Write the strip of the first question of the test split whose target is found."""
    for case in clip_cases("test", "small", _TRIED):
        with vlm.open_video(case.video) as clip:
            result = clip.ask(case.question)
            told = Told(result.answer, result.interval.seconds, result.box)
            if told.in_time(case) and told.in_box(case):
                picture = result.draw(case.question).convert("RGB")
                picture.thumbnail(_STRIP_SIZE)
                with replacing(path) as aside:
                    picture.save(aside, "jpeg", quality=80)
                return


if __name__ == "__main__":
    main()
