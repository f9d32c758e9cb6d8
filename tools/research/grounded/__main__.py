"""Measure whether attention finds wrong answers that their probability does not.

python -m tools.research.grounded            # fitted on the development part, tried on the test
python -m tools.research.grounded --write    # and put the tables into docs/quality.md

Attention and answers are those of ``tools.research.quality``, and kept at the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from carve_eval.reporting.tables import Cell, Table, interval_cell, open_console
from carve_models.cli import ErrorCommand
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tools.checks.figures import publish
from tools.research.grounded.answers import Answered, carved
from tools.research.grounded.score import Flags, Floats, Score, area, area_gain
from tools.research.grounded.signals import ATTENTION, attention_signals, log_odds
from tools.research.pocket.world.cases import GROUPS, Part
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.observations import Observation
from tools.shared.report import Report

_COMMAND = "python -m tools.research.grounded"
_PROBABILITY = "probability"
_SIGNALS = (_PROBABILITY, *ATTENTION)
#: What a score may use.
_SCORES: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in _SIGNALS},
    "attention, all five": ATTENTION,
    "probability and attention": _SIGNALS,
}
#: Groups whose questions are about a small target.
_SMALL = ("small", "distractor")


@dataclass(frozen=True, eq=False)
class _Answers:
    """Answers of one part: (n, signals), which of them are right, and which are about what."""

    signals: Floats
    right: Flags
    small: Flags
    pictures: list[int]


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.option("--bundle", type=click.Path(path_type=Path), help="The default one if not given.")
@click.option("--pictures", type=click.IntRange(3), default=100, help="Pictures of every group.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/quality"))
@click.option("--write", is_flag=True, help="Put the tables into the documentation.")
def main(bundle: Path | None, pictures: int, out: Path, write: bool) -> None:
    """Print the tables; the same command again goes on where an interrupted one stopped."""
    opened = open_bundle(bundle)
    cached, vlm = CachedBundle(opened, out / "cache"), Carve(opened)
    tables = [*measure(cached, vlm, pictures)]
    for table in tables:
        table.show(open_console())
    if write:
        publish("grounded", Report(_COMMAND, tables, {"pictures": pictures}))


def measure(cached: CachedBundle, vlm: Carve, pictures: int) -> Iterator[Table]:
    """Yield the areas under the curve for plain answers, and for those of CARVE."""
    parts: tuple[Part, Part] = ("dev", "test")
    plain, refined = zip(*(_answers(cached, vlm, part, pictures) for part in parts), strict=True)
    yield _table("plain", "plain answers", *plain)
    yield _table("carve", "answers through CARVE", *refined)


def _answers(
    cached: CachedBundle, vlm: Carve, part: Part, pictures: int
) -> tuple[_Answers, _Answers]:
    observations: list[Observation] = []
    refined: list[Answered] = []
    for group in GROUPS:
        observed = cached.observations(part, group, pictures)
        file = cached.folder / f"{part}-{group}-{pictures}-carve.json"
        refined += carved(vlm, observed, file, f"{part} {group}: CARVE")
        observations += observed
    attention = attention_signals(observations, cached.manifest)
    plain = [Answered(each.plain, each.probability) for each in observations]
    small = np.array([each.case.group in _SMALL for each in observations], np.bool_)
    names = [id(each.image) for each in observations]

    def judged(answers: list[Answered]) -> _Answers:
        signals = np.column_stack([log_odds([each.probability for each in answers]), attention])
        wanted = [each.case.answer for each in observations]
        right = [each.text == answer for each, answer in zip(answers, wanted, strict=True)]
        return _Answers(signals, np.array(right, np.bool_), small, names)

    return judged(plain), judged(refined)


def _table(name: str, what: str, dev: _Answers, test: _Answers) -> Table:
    def score(signals: tuple[str, ...]) -> Floats:
        chosen = [_SIGNALS.index(signal) for signal in signals]
        return Score.fit(dev.signals[:, chosen], dev.right)(test.signals[:, chosen])

    base = score((_PROBABILITY,))
    rows: list[list[Cell]] = []
    for label, signals in _SCORES.items():
        values = score(signals)
        gain = area_gain(values, base, test.right, test.pictures)
        small = area(values[test.small], test.right[test.small])
        rows.append(
            [label, 100 * area(values, test.right), interval_cell(gain.percent), 100 * small]
        )
    wrong = ~test.right
    note = (
        f"Percent. {len(wrong)} questions of the test part, {wrong.sum()} answered wrongly; "
        f"{test.small.sum()} about small targets, {(wrong & test.small).sum()} wrongly. "
        f"Fitted on {len(dev.right)} of the development part."
    )
    columns = ("score", "area under the curve", "more than probability", "small targets alone")
    return Table(f"grounded_{name}", f"Wrong {what} found by a score", columns, rows, note)


if __name__ == "__main__":
    main()
