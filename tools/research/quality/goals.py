"""What pocket was built to reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from carve_eval.reporting.statistics import McNemar, mcnemar
from carve_eval.reporting.tables import Cell, P, Table
from tools.research.pocket.world.cases import Group
from tools.research.quality.cached_bundle import Flags
from tools.research.quality.study import PRESENCE, Category, Study, percent, plainly_right

_SIGNIFICANT = 0.05
_QUESTIONS, _SCENES = 1000, 300


@dataclass(frozen=True)
class _Scores:
    """Which questions of a category are answered rightly in which way."""

    plain: Flags
    carve: Flags
    alone: Flags
    automatic: Flags

    @property
    def harm(self) -> float:
        """CARVE minus plain, in points."""
        return percent(self.carve) - percent(self.plain)


def goals(study: Study) -> Table:
    """Return every goal with its figure."""
    groups: tuple[Group, ...] = ("small", "distractor", "large", "easy")
    small, distractor, large, easy = (_scores(study, Category(name, name)) for name in groups)
    presence = _scores(study, PRESENCE)
    oracle = percent(study.outcomes("small", study.crops()[:1])[0].right)
    questions = len(small.plain)
    scenes = len({id(observation.image) for observation in study.observations("small")})
    plain, carve = percent(small.plain), percent(small.carve)
    automatic = percent(small.automatic)
    rows: list[list[Cell]] = [
        _row(
            "questions on small targets, scenes",
            f"{questions}, {scenes}",
            f">= {_QUESTIONS}, >= {_SCENES}",
            questions >= _QUESTIONS and scenes >= _SCENES,
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
    columns = ("what", "figure", "goal", "")
    note = "Not worse and better are McNemar's test at 5 %; accuracies in percent."
    return Table("goals", "What was to be reached", columns, rows, note)


def _scores(study: Study, category: Category) -> _Scores:
    attempts = (study.default, study.alone, study.automatic)
    observations, right = study.category(category, attempts)
    return _Scores(plainly_right(observations), *right)


def _row(what: str, figure: str, goal: str, met: bool) -> list[Cell]:
    return [what, figure, goal, "met" if met else "missed"]


def _at_least(what: str, value: float, goal: float) -> list[Cell]:
    return _row(what, f"{value:.1f}", f">= {goal:g}", value >= goal)


def _not_worse(what: str, scores: _Scores) -> list[Cell]:
    test = mcnemar(scores.carve, scores.alone)
    worse = test.only_second > test.only_first and test.p_value < _SIGNIFICANT
    return _row(what, _spell(test), "not worse", not worse)


def _better(what: str, scores: _Scores) -> list[Cell]:
    test = mcnemar(scores.carve, scores.alone)
    better = test.only_first > test.only_second and test.p_value < _SIGNIFICANT
    return _row(what, _spell(test), "better", better)


def _spell(test: McNemar) -> str:
    return f"{test.only_first} : {test.only_second}, p {P(test.p_value)}"
