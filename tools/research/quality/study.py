"""One run of the benchmark: which questions, which ways, and the figures of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carve_models.settings import Settings
from tools.research.pocket.cases import GROUPS, Group, Part
from tools.research.quality.attempts import Attempt, Carved, Cropped
from tools.research.quality.bench import Bench, Flags, Outcome
from tools.research.quality.looks import Look
from tools.shared.statistics import Interval, bootstrap_interval, mcnemar
from tools.shared.tables import P


@dataclass(frozen=True)
class Size:
    """How many pictures of each group are used, three questions each; fewer for the grids."""

    pictures: int
    grid: int


@dataclass
class Study:
    """Questions of one part of the splits, answered in many ways; nothing is tried twice."""

    bench: Bench
    part: Part
    size: Size
    _looks: dict[Group, list[Look]] = field(default_factory=dict)
    _outcomes: dict[tuple[Group, Attempt, int], Outcome] = field(default_factory=dict)

    @property
    def defaults(self) -> Settings:
        """The bundle's settings."""
        return self.bench.manifest.defaults

    def looks(self, group: Group, pictures: int | None = None) -> list[Look]:
        """Return a group's questions, about its first pictures only if told."""
        if group not in self._looks:
            self._looks[group] = self.bench.looks(self.part, group, self.size.pictures)
        found = self._looks[group]
        if pictures is None:
            return found
        chosen = list(dict.fromkeys(id(one.case.image) for one in found))[:pictures]
        return [one for one in found if id(one.case.image) in chosen]

    def outcomes(
        self, group: Group, attempts: Iterable[Attempt], pictures: int | None = None
    ) -> list[Outcome]:
        """Return what each way makes of a group."""
        wanted, looks = list(attempts), self.looks(group, pictures)
        open_ones = [one for one in wanted if (group, one, len(looks)) not in self._outcomes]
        if open_ones:
            found = self.bench.outcomes(looks, open_ones, f"{self.part} {group}")
            for attempt, outcome in zip(open_ones, found, strict=True):
                self._outcomes[group, attempt, len(looks)] = outcome
        return [self._outcomes[group, one, len(looks)] for one in wanted]

    @property
    def default(self) -> Carved:
        """CARVE with the bundle's settings."""
        return Carved("CARVE", self.defaults)

    @property
    def alone(self) -> Carved:
        """The question's attention alone, the rest the same."""
        return Carved("question attention alone", self.defaults.override(contrast="off"))

    @property
    def automatic(self) -> Carved:
        """Whatever can follow from the attention does."""
        return Carved("auto everywhere", self.defaults.override(**AUTOMATIC))

    def crops(self) -> list[Cropped]:
        """Crops that know nothing of the attention."""
        return [
            Cropped("oracle crop", self.defaults, "oracle"),
            Cropped("centre crop", self.defaults, "centre"),
            Cropped("random crop", self.defaults, "random"),
        ]


#: The automatic settings, each of which is also tried on its own.
AUTOMATIC: dict[str, Any] = {
    "contrast": "auto",
    "regularizer": "auto",
    "mask_top_p": "auto",
}


@dataclass(frozen=True)
class Line:
    """A kind of question that is reported on its own: some of a group."""

    name: str
    group: Group
    belongs: Callable[[Look], bool] = lambda look: True

    def select(self, looks: Sequence[Look]) -> Flags:
        """Return which questions of the group belong to the line."""
        return np.array([self.belongs(one) for one in looks], np.bool_)


#: Yes/no presence is a line of its own, as in POPE.
LINES: tuple[Line, ...] = (
    *(Line(group, group) for group in GROUPS if group != "general"),
    Line("presence", "general", lambda look: look.case.kind == "exists"),
    Line("other kinds", "general", lambda look: look.case.kind != "exists"),
)


def plainly_right(looks: Sequence[Look]) -> Flags:
    """Return which plain answers are right."""
    return np.array([one.plain == one.case.answer for one in looks], np.bool_)


def accuracy(right: Flags, looks: Sequence[Look]) -> Interval:
    """Return the percentage with its interval; questions about one picture are drawn together."""
    clusters = [id(one.case.image) for one in looks]
    return Interval(*(100 * end for end in bootstrap_interval(right, clusters=clusters)))


def percent(flags: Flags) -> float:
    """Return the percentage of true values."""
    return 100 * float(np.mean(flags))


def paired_difference(first: Flags, second: Flags) -> tuple[str, P]:
    """Return "right only by the first : only by the second" and McNemar's p-value."""
    test = mcnemar(first, second)
    return f"{test.only_first} : {test.only_second}", P(test.p_value)
