"""What every benchmark is: questions about images, and a score for each answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from carve_models.errors import CarveError

#: What to do about published files.
REMEDY = "unpack the published files again; docs/eval.md says how each data set is laid out"


class DataError(CarveError):
    """A benchmark's file or image is missing, malformed, or contradicts itself."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: its name, unique in the benchmark.
        image: the image's file.
        prompt: what the model is asked; the bundle's suffix follows it.
        references: right answers; what they mean is the benchmark's business.
        options: the choices of a multiple-choice question, in the order of their letters.
        group: the part of the benchmark that tables list apart, or "".
        box: of the object asked for, (x0, y0, x1, y1) in pixels, if it is known.
    """

    id: str
    image: Path
    prompt: str
    references: tuple[str, ...]
    options: tuple[str, ...] = ()
    group: str = ""
    box: tuple[float, float, float, float] | None = None


class Benchmark(ABC):
    """One benchmark; its module's docstring says where format and metric come from.

    Attributes:
        name: its option on the command line and its folder of answers.
        title: its name in tables.
        is_file: whether it is one file and not a folder.
        remedy: what to do about files that are missing or malformed.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    is_file: ClassVar[bool] = False
    remedy: ClassVar[str] = REMEDY

    @abstractmethod
    def read(self, place: Path) -> list[Question]:
        """Return the questions of a folder, or of a file, laid out as ``docs/eval.md`` says.

        Raises:
            DataError: a file is missing or malformed.
        """

    @abstractmethod
    def score(self, question: Question, answer: str) -> float:
        """Return how right an answer is, 0 to 1."""

    def measures(self, questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
        """Return further measures of a set of answers, shares of 1; NaN where undefined."""
        return {}
