"""The two attention passes of every question, run once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.manifest import Manifest
from carve_models.replacing import replacing
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.method.geometry import Window
from carve_runtime.method.maps.agreement import INSTRUCTIONS
from carve_runtime.method.maps.rollout import AnswerRows
from tools.research.pocket.world.cases import Case, by_picture
from tools.shared.workers import in_order

#: Arrays of a file that hold one value for each question.
_PER_QUESTION = ("plain", "probability", "window")


@dataclass(frozen=True)
class Observation:
    """One question with what the model attended to and said.

    Attributes:
        case: the question.
        plain: the plain answer.
        probability: of the plain answer, its end included.
        question: (T_Q, L, N) float32 of all tapped layers.
        general: the same for each general instruction.
        answer: (T_Q, L, T_Q) float32, between the steps of the question's pass.
        window: the part of the picture that the token grid covers.
    """

    case: Case
    plain: str
    probability: float
    question: NDArray[np.float32]
    general: tuple[NDArray[np.float32], ...]
    answer: NDArray[np.float32]
    window: Window

    @property
    def image(self) -> Image.Image:
        """The picture."""
        return self.case.image


def instructions(manifest: Manifest) -> tuple[str, ...]:
    """Return the general instructions that are compared: the bundle's own, and the paper's."""
    own = manifest.prompts.general
    return (own, *(text for text in INSTRUCTIONS if text != own))


def observe(model: Model, cases: Sequence[Case], file: Path, title: str) -> list[Observation]:
    """Return the observations of all cases, from the file if it is there; else write it."""
    if not file.exists():
        groups = in_order(_Observer(model), list(by_picture(cases)), title)
        _save([observation for group in groups for observation in group], file)
    return _load(cases, file)


@dataclass(frozen=True)
class _Observer:
    model: Model

    def __call__(self, cases: Sequence[Case]) -> list[Observation]:
        """Run the passes about one picture."""
        image = encode_picture(self.model, cases[0])
        limit = self.model.manifest.defaults.max_new_tokens
        read = [AnswerRows() for _ in cases]
        asked = [
            self._answer(image, case.question, limit, rows)
            for case, rows in zip(cases, read, strict=True)
        ]
        steps = max(len(answer.attention) for answer in asked)
        texts = instructions(self.model.manifest)
        general = tuple(self._answer(image, text, steps).attention for text in texts)
        return [
            Observation(
                case,
                decode(self.model, answer),
                answer.probability,
                answer.attention,
                general,
                rows.result(),
                image.model_inputs[0].window,
            )
            for case, answer, rows in zip(cases, asked, read, strict=True)
        ]

    def _answer(
        self, image: EncodedImages, text: str, limit: int, on_step: AnswerRows | None = None
    ) -> Pass:
        request = self.model.requests.plain(text, limit)
        prompt = request.prompt.single
        return self.model.answer(image, prompt, "question", request, on_step=on_step)


def encode_picture(model: Model, case: Case) -> EncodedImages:
    """Return a case's picture as the model holds it; a question about a pair fits behind it."""
    request = model.requests.ask(case.question, None, {"final_prompt": "pair"})
    return model.encode_images([np.asarray(case.image)], request.budget, request.usage)


def decode(model: Model, answer: Any) -> str:
    """Return an answer's text."""
    return model.text.decode(answer.ids).strip()


def _save(observations: Sequence[Observation], file: Path) -> None:
    """Write attention and answers, complete or not at all."""
    arrays: dict[str, Any] = {
        name: np.array([getattr(observation, name) for observation in observations])
        for name in _PER_QUESTION
    }
    for index, observation in enumerate(observations):
        arrays[f"{index}/question"] = observation.question
        arrays[f"{index}/answer"] = observation.answer
        for number, general in enumerate(observation.general):
            arrays[f"{index}/general/{number}"] = general
    with replacing(file) as aside:
        np.savez(aside, **arrays)


def _load(cases: Sequence[Case], file: Path) -> list[Observation]:
    with np.load(file, allow_pickle=False) as stored:
        instructed = sum(name.startswith("0/general/") for name in stored.files)
        return [
            Observation(
                case,
                str(plain),
                float(probability),
                stored[f"{index}/question"],
                tuple(stored[f"{index}/general/{number}"] for number in range(instructed)),
                stored[f"{index}/answer"],
                tuple(window.tolist()),
            )
            for index, (case, plain, probability, window) in enumerate(
                zip(cases, *(stored[name] for name in _PER_QUESTION), strict=True)
            )
        ]
