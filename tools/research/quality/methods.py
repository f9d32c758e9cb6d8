"""Compare the methods that make a map of the attention, on pocket's questions.

python -m tools.research.quality.methods
python -m tools.research.quality.methods --write     # and fill docs/quality.md
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from carve_eval.reporting.tables import Cell, Table, open_console
from carve_models.cli import ErrorCommand
from carve_models.replacing import write_json
from carve_models.settings import Settings
from carve_runtime.bundle import open_bundle
from carve_runtime.method.maps import METHODS
from tools.checks.figures import publish
from tools.research.pocket.world.cases import Group, Part
from tools.research.quality.attempts import Carved
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.study import Size, Study, accuracy, paired_difference, percent
from tools.shared.report import Report

_COMMAND = "python -m tools.research.quality.methods"
#: Where the question needs a closer look: pocket reads large texts plainly.
_GROUPS: tuple[Group, ...] = ("small", "distractor")


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--part", type=click.Choice(["dev", "test"]), default="test")
@click.option("--pictures", type=click.IntRange(1), default=50, help="Of each group.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/quality"))
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(part: Part, pictures: int, out: Path, write: bool) -> None:
    """Measure the default bundle; what was answered before is not asked again."""
    if write and part != "test":
        raise click.UsageError("--write is for the test part")
    study = Study(CachedBundle(open_bundle(None), out / "cache"), part, Size(pictures, pictures))
    console = open_console()
    tables = [compare(study, group) for group in _GROUPS]
    for table in tables:
        table.show(console)
    report = Report(_COMMAND, tables, asdict(study.defaults))
    write_json(out / f"{part}-methods.json", report)
    if write:
        publish("methods", report)


def ways(defaults: Settings, tapped: tuple[int, ...]) -> list[Carved]:
    """Return every method in the bundle's layers and in all, and rollout over all steps too.

    Nothing is chosen by what it scores.
    """
    every = defaults.override(layers=tapped)
    return [
        *(
            Carved(f"{name}{title}", settings.override(method=name))
            for name in METHODS
            for title, settings in (("", defaults), (", all layers", every))
        ),
        Carved("rollout, all layers and steps", every.override(method="rollout", steps="all")),
    ]


def compare(study: Study, group: Group) -> Table:
    """Return how often each way is right, and McNemar's test of it against CARVE."""
    attempts = ways(study.defaults, study.bundle.manifest.decoder.tapped_layers)
    observations = study.observations(group)
    outcomes = study.outcomes(group, [study.default, *attempts])
    reference, rows = outcomes[0].right, list[list[Cell]]()
    for attempt, outcome in zip(attempts, outcomes[1:], strict=True):
        rows.append(
            [
                attempt.name,
                accuracy(outcome.right, observations),
                percent(outcome.in_mask),
                *paired_difference(outcome.right, reference),
            ]
        )
    note = (
        f"Percent right of {len(observations)} questions about "
        f"{len({id(each.image) for each in observations})} pictures, and how often the target's "
        "centre is kept. All else is as in the bundle; p is McNemar's, exact, of one comparison."
    )
    columns = ("method", "right", "in mask", "it : CARVE", "p")
    return Table(group, f"Methods that make a map, group {group}", columns, rows, note)


if __name__ == "__main__":
    main()
