"""What pocket was built to reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from tools.research.pocket.cases import Group
from tools.research.quality.bench import Flags
from tools.research.quality.study import LINES, Line, Study, percent, plainly_right
from tools.shared.statistics import McNemar, mcnemar
from tools.shared.tables import Cell, P, Table

_SIGNIFICANT = 0.05
_QUESTIONS, _SCENES = 1000, 300


@dataclass(frozen=True)
class _Scores:
    """Which questions of one line are answered rightly in which way."""

    plain: Flags
    carve: Flags
    alone: Flags
    automatic: Flags

    @property
    def harm(self) -> float:
        """CARVE minus plain, in points."""
        return percent(self.carve) - percent(self.plain)


def reach(study: Study) -> Table:
    """Return every target with its figure."""
    small, distractor = _scores(study, "small"), _scores(study, "distractor")
    large, easy = _scores(study, "large"), _scores(study, "easy")
    presence = _scores(study, "general", next(one for one in LINES if one.name == "presence"))
    oracle = percent(study.outcomes("small", study.crops()[:1])[0].right)
    looks = study.looks("small")
    scenes = len({id(look.case.image) for look in looks})
    plain, carve = percent(small.plain), percent(small.carve)
    automatic = percent(small.automatic)
    rows: list[list[Cell | P]] = [
        _row(
            "questions on small targets, scenes",
            f"{len(looks)}, {scenes}",
            f">= {_QUESTIONS}, >= {_SCENES}",
            len(looks) >= _QUESTIONS and scenes >= _SCENES,
        ),
        _row("small targets, plain", f"{plain:.1f}", "<= 35", plain <= 35),
        _at_least("large targets, plain", percent(large.plain), 85),
        _at_least("small targets, CARVE", carve, 75),
        _at_least("small targets, CARVE in percent of the oracle crop", 100 * carve / oracle, 90),
        _not_worse("small targets, CARVE : question alone", small),
        _better("among distractors, CARVE : question alone", distractor),
        _at_least("presence, CARVE minus plain", presence.harm, -1),
        _at_least("large targets, CARVE minus plain", large.harm, -1),
        _at_least("easy-VQA, CARVE minus plain", easy.harm, -1),
        _at_least("easy-VQA, plain", percent(easy.plain), 85),
        _at_least("small targets, auto everywhere minus default", automatic - carve, -2),
    ]
    columns = ("what", "figure", "target", "")
    note = "Not worse and better are McNemar's test at 5 %; accuracies in percent."
    return Table("reach", "What was to be reached", columns, rows, note)


def _scores(study: Study, group: Group, line: Line | None = None) -> _Scores:
    looks = study.looks(group)
    chosen = (line or Line(group, group)).select(looks)
    found = study.outcomes(group, (study.default, study.alone, study.automatic))
    return _Scores(plainly_right(looks)[chosen], *(one.right[chosen] for one in found))


def _row(what: str, figure: str, target: str, met: bool) -> list[Cell | P]:
    return [what, figure, target, "met" if met else "missed"]


def _at_least(what: str, value: float, target: float) -> list[Cell | P]:
    return _row(what, f"{value:.1f}", f">= {target:g}", value >= target)


def _not_worse(what: str, scores: _Scores) -> list[Cell | P]:
    test = mcnemar(scores.carve, scores.alone)
    worse = test.only_second > test.only_first and test.p_value < _SIGNIFICANT
    return _row(what, _spell(test), "not worse", not worse)


def _better(what: str, scores: _Scores) -> list[Cell | P]:
    test = mcnemar(scores.carve, scores.alone)
    better = test.only_first > test.only_second and test.p_value < _SIGNIFICANT
    return _row(what, _spell(test), "better", better)


def _spell(test: McNemar) -> str:
    return f"{test.only_first} : {test.only_second}, p {P(test.p_value)}"
