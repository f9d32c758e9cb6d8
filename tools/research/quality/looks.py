"""The two attention passes of every question, run once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from carve_models.manifest import Manifest
from carve_runtime.decoder.model import EncodedImage, Model, Pass
from carve_runtime.method.geometry import Window
from tools.research.pocket.cases import Case
from tools.shared.workers import in_order

#: General instructions that the paper compares (table 4); the bundle's own comes first.
INSTRUCTIONS = (
    "Write a general description of the image.",
    "Describe this image in detail.",
    "Provide a comprehensive overview of the image.",
    "What do you see in this image?",
    "Explain what appears in the image.",
)
#: Arrays of a file that hold one value for each question.
_PER_QUESTION = ("plain", "probability", "window")


@dataclass(frozen=True)
class Look:
    """One question with what the model saw and said.

    Attributes:
        case: the question.
        plain: the plain answer.
        probability: of the plain answer, its end included.
        question: (T_Q, L, N) float32 of all tapped layers.
        general: the same for each general instruction.
        window: the part of the picture that the token grid covers.
    """

    case: Case
    plain: str
    probability: float
    question: NDArray[np.float32]
    general: tuple[NDArray[np.float32], ...]
    window: Window


def fingerprint(manifest: Manifest) -> str:
    """Return what names a bundle's answers: its weights, prompts and image rule, no defaults."""
    parts = manifest.files, manifest.prompts, manifest.image, manifest.decoder
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def instructions(manifest: Manifest) -> tuple[str, ...]:
    """Return the general instructions that are compared."""
    own = manifest.prompts.general
    return (own, *(text for text in INSTRUCTIONS if text != own))


def by_picture(cases: Sequence[Any]) -> list[list[Any]]:
    """Return cases, or looks, in groups that share a picture."""
    return [list(group) for _, group in groupby(cases, key=lambda one: id(_picture(one)))]


def _picture(one: Case | Look) -> Any:
    return one.image if isinstance(one, Case) else one.case.image


def look(model: Model, cases: Sequence[Case], file: Path, title: str) -> list[Look]:
    """Return the looks at all cases, from the file if it is there; else write it."""
    if not file.exists():
        found = [one for some in in_order(_Looker(model), by_picture(cases), title) for one in some]
        _save(found, file)
    return _load(cases, file)


@dataclass(frozen=True)
class _Looker:
    model: Model

    def __call__(self, cases: Sequence[Case]) -> list[Look]:
        """Look at one picture and run its passes."""
        image = encode_picture(self.model, cases[0])
        limit = self.model.manifest.defaults.max_new_tokens
        asked = [self._answer(image, case.question, limit) for case in cases]
        steps = max(len(one.attention) for one in asked)
        texts = instructions(self.model.manifest)
        general = tuple(self._answer(image, text, steps).attention for text in texts)
        return [
            Look(
                case,
                decode(self.model, one),
                one.probability,
                one.attention,
                general,
                image.model_input.window,
            )
            for case, one in zip(cases, asked, strict=True)
        ]

    def _answer(self, image: EncodedImage, text: str, limit: int) -> Pass:
        request = self.model.requests.plain(text, limit)
        return self.model.answer(image, request.prompt.single, "question", request)


def encode_picture(model: Model, case: Case) -> EncodedImage:
    """Return a case's picture as the model holds it; a question about a pair fits behind it."""
    request = model.requests.ask(case.question, None, {"final_prompt": "pair"})
    return model.encode_image(np.asarray(case.image), request.budget, request.usage)


def fixed_grid(manifest: Manifest) -> tuple[int, int]:
    """Return the (rows, columns) of image tokens of a bundle in which every image has the same."""
    grid = manifest.image.fixed_grid
    assert grid is not None, "the benchmark needs images of one size"
    return grid


def decode(model: Model, answer: Any) -> str:
    """Return an answer's text."""
    return model.text.decode(answer.ids).strip()


def _save(looks: Sequence[Look], file: Path) -> None:
    """Write attention and answers, complete or not at all."""
    arrays: dict[str, Any] = {
        "plain": np.array([one.plain for one in looks]),
        "probability": np.array([one.probability for one in looks]),
        "window": np.array([one.window for one in looks]),
    }
    for index, one in enumerate(looks):
        arrays[f"{index}/question"] = one.question
        for number, general in enumerate(one.general):
            arrays[f"{index}/general/{number}"] = general
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".partial.npz")
    np.savez(aside, **arrays)
    aside.replace(file)


def _load(cases: Sequence[Case], file: Path) -> list[Look]:
    with np.load(file, allow_pickle=False) as stored:
        instructed = sum(name.startswith("0/general/") for name in stored.files)
        return [
            Look(
                case,
                str(plain),
                float(probability),
                stored[f"{index}/question"],
                tuple(stored[f"{index}/general/{number}"] for number in range(instructed)),
                tuple(window.tolist()),
            )
            for index, (case, plain, probability, window) in enumerate(
                zip(cases, *(stored[name] for name in _PER_QUESTION), strict=True)
            )
        ]
