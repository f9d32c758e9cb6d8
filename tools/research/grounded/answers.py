"""CARVE's answers with their probabilities, asked once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from carve_models.replacing import write_json
from carve_runtime import Carve
from tools.research.pocket.world.cases import by_picture
from tools.research.quality.observations import Observation
from tools.shared.workers import in_order


class Answered(msgspec.Struct, frozen=True):
    """One answer, and the model's own probability of it, its end included."""

    text: str
    probability: float


def carved(
    vlm: Carve, observations: Sequence[Observation], file: Path, title: str
) -> list[Answered]:
    """Return CARVE's answer to each question, from the file if it is there; else write it."""
    if not file.exists():
        pictures = list(by_picture(observations))
        answers = [each for group in in_order(_Asker(vlm), pictures, title) for each in group]
        write_json(file, answers)
    return msgspec.json.decode(file.read_bytes(), type=list[Answered])


@dataclass(frozen=True)
class _Asker:
    vlm: Carve

    def __call__(self, observations: Sequence[Observation]) -> list[Answered]:
        """Ask the questions about one picture."""
        with self.vlm.open(np.asarray(observations[0].image)) as session:
            results = [session.ask(each.case.question) for each in observations]
        return [Answered(result.answer.strip(), result.probability) for result in results]
