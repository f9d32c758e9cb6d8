"""One run of the benchmark: which questions, which ways, and the figures of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carve_eval.reporting.statistics import bootstrap_interval, mcnemar
from carve_eval.reporting.tables import Cell, P, interval_cell
from carve_models.settings import Settings
from tools.research.pocket.world.cases import GROUPS, Group, Part
from tools.research.quality.attempts import Attempt, Carved, Cropped
from tools.research.quality.cached_bundle import CachedBundle, Flags, Outcome
from tools.research.quality.observations import Observation

#: The automatic settings, each of which is also tried on its own.
AUTOMATIC: dict[str, Any] = {
    "contrast": "auto",
    "regularizer": "auto",
    "mask_top_p": "auto",
}


@dataclass(frozen=True)
class Category:
    """A kind of question that is reported on its own: some of a group."""

    name: str
    group: Group
    belongs: Callable[[Observation], bool] = lambda observation: True

    def select(self, observations: Sequence[Observation]) -> Flags:
        """Return which questions of the group belong to the category."""
        return np.array([self.belongs(observation) for observation in observations], np.bool_)


PRESENCE = Category("presence", "general", lambda observation: observation.case.kind == "exists")
#: Yes/no presence is a category of its own, as in POPE.
CATEGORIES: tuple[Category, ...] = (
    *(Category(group, group) for group in GROUPS if group != "general"),
    PRESENCE,
    Category("other kinds", "general", lambda observation: observation.case.kind != "exists"),
)


@dataclass(frozen=True)
class Size:
    """How many pictures of each group are used, three questions each; fewer for the grids."""

    pictures: int
    grid: int


@dataclass
class Study:
    """Questions of one part of the splits, answered in many ways; nothing is tried twice."""

    bundle: CachedBundle
    part: Part
    size: Size
    _observations: dict[Group, list[Observation]] = field(default_factory=dict)
    _outcomes: dict[tuple[Group, Attempt, int], Outcome] = field(default_factory=dict)

    @property
    def defaults(self) -> Settings:
        """The bundle's settings."""
        return self.bundle.manifest.defaults

    def observations(self, group: Group, pictures: int | None = None) -> list[Observation]:
        """Return a group's questions, about its first pictures only if told."""
        if group not in self._observations:
            self._observations[group] = self.bundle.observations(
                self.part, group, self.size.pictures
            )
        observations = self._observations[group]
        if pictures is None:
            return observations
        chosen = list(dict.fromkeys(id(each.image) for each in observations))[:pictures]
        return [each for each in observations if id(each.image) in chosen]

    def outcomes(
        self, group: Group, attempts: Iterable[Attempt], pictures: int | None = None
    ) -> list[Outcome]:
        """Return what each way makes of a group."""
        observations = self.observations(group, pictures)
        keys = [(group, attempt, len(observations)) for attempt in attempts]
        missing = [key for key in keys if key not in self._outcomes]
        if missing:
            new = self.bundle.outcomes(
                observations, [attempt for _, attempt, _ in missing], f"{self.part} {group}"
            )
            self._outcomes.update(zip(missing, new, strict=True))
        return [self._outcomes[key] for key in keys]

    def category(
        self, category: Category, attempts: Sequence[Attempt]
    ) -> tuple[list[Observation], list[Flags]]:
        """Return the questions of a category, and which of them each way answers rightly."""
        observations = self.observations(category.group)
        chosen = category.select(observations)
        outcomes = self.outcomes(category.group, attempts)
        belonging = [observations[index] for index in np.flatnonzero(chosen)]
        return belonging, [outcome.right[chosen] for outcome in outcomes]

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

    def each_automatic(self) -> list[Carved]:
        """Each automatic setting on its own."""
        return [
            Carved(f"{name} auto", self.defaults.override(**{name: value}))
            for name, value in AUTOMATIC.items()
        ]

    def crops(self) -> list[Cropped]:
        """Crops that know nothing of the attention."""
        return [
            Cropped("oracle crop", self.defaults, "oracle"),
            Cropped("centre crop", self.defaults, "centre"),
            Cropped("random crop", self.defaults, "random"),
        ]


def plainly_right(observations: Sequence[Observation]) -> Flags:
    """Return which plain answers are right."""
    return np.array([each.plain == each.case.answer for each in observations], np.bool_)


def accuracy(right: Flags, observations: Sequence[Observation]) -> Cell:
    """Return the percentage with its interval; questions about one picture are drawn together."""
    clusters = [id(each.image) for each in observations]
    return interval_cell(bootstrap_interval(right, clusters=clusters).percent)


def percent(flags: Flags) -> float:
    """Return the percentage of true values."""
    return 100 * float(np.mean(flags))


def paired_difference(first: Flags, second: Flags) -> tuple[str, P]:
    """Return "right only by the first : only by the second" and McNemar's p-value."""
    test = mcnemar(first, second)
    return f"{test.only_first} : {test.only_second}", P(test.p_value)
