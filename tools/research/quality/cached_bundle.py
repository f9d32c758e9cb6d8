"""Try many ways on the same questions with the shipped product, and keep every answer."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models.manifest import Manifest
from carve_models.settings import Settings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.model import Model
from carve_runtime.method.adaptive import reason_to_skip
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.geometry import bounding_box
from carve_runtime.method.refine import refine_pixels
from tools.research.pocket.world.cases import Case, Group, Part, by_picture, cases
from tools.research.quality.attempts import Attempt
from tools.research.quality.observations import Observation, decode, encode_picture, observe
from tools.shared.models.bundles import fingerprint
from tools.shared.workers import in_order

Flags = NDArray[np.bool_]

#: Of what is kept of each question: files of another version are made again.
_ARRAYS = 2


@dataclass(frozen=True)
class Outcome:
    """What one way made of some questions; arrays of their number.

    Attributes:
        right: whether the final answer is right.
        in_mask: whether the target's centre is kept; False where there is no target.
        in_box: whether it lies in the mask's box.
        share: share of the pixels that are kept.
    """

    right: Flags
    in_mask: Flags
    in_box: Flags
    share: NDArray[np.float64]


class Answers:
    """Answers by what was asked, in a database file."""

    def __init__(self, file: Path) -> None:
        """Open or create the file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(file)
        self._database.execute("create table if not exists answers (key blob primary key, text)")
        self.known: dict[bytes, str] = dict(self._database.execute("select key, text from answers"))

    def add(self, new: dict[bytes, str]) -> None:
        """Keep more answers."""
        self.known.update(new)
        with self._database:
            self._database.executemany("insert or replace into answers values (?, ?)", new.items())


class CachedBundle:
    """A bundle, and everything that it was asked so far."""

    def __init__(self, bundle: Bundle, cache: Path) -> None:
        """Load the bundle; attention and answers lie under ``cache``, by the bundle's weights."""
        self.model = Model(bundle)
        self.manifest = bundle.manifest
        self.folder = cache / fingerprint(bundle.manifest)
        self._answers = Answers(self.folder / "answers.sqlite")

    def observations(self, part: Part, group: Group, pictures: int) -> list[Observation]:
        """Return the observations of a group of questions."""
        file = self.folder / f"{part}-{group}-{pictures}-{_ARRAYS}.npz"
        asked = list(cases(part, group, pictures))
        return observe(self.model, asked, file, f"{part} {group}: attention")

    def outcomes(
        self, observations: Sequence[Observation], attempts: Iterable[Attempt], title: str
    ) -> list[Outcome]:
        """Return what each way makes of the questions."""
        judge = _Judge(self.model, tuple(attempts), self._answers.known)
        rows: list[list[tuple[Any, ...]]] = []
        for judged, new in in_order(judge, list(by_picture(observations)), title):
            rows.extend(judged)
            self._answers.add(new)
        return [
            Outcome(*(np.array(values) for values in zip(*column, strict=True)))
            for column in zip(*rows, strict=True)
        ]


@dataclass(frozen=True)
class _Judge:
    """Tries every way on the questions about one picture."""

    model: Model
    attempts: tuple[Attempt, ...]
    known: dict[bytes, str]

    def __call__(
        self, observations: Sequence[Observation]
    ) -> tuple[list[list[tuple[bool, bool, bool, float]]], dict[bytes, str]]:
        picture = _Picture(self.model, observations[0].case)
        new: dict[bytes, str] = {}
        rows = [
            [self._judge(picture, observation, attempt, new) for attempt in self.attempts]
            for observation in observations
        ]
        return rows, new

    def _judge(
        self, picture: _Picture, observation: Observation, attempt: Attempt, new: dict[bytes, str]
    ) -> tuple[bool, bool, bool, float]:
        case, mask = observation.case, attempt.mask(observation, self.model.manifest)
        if skips(self.model.manifest, observation, attempt.settings):
            answer = observation.plain
        else:
            key = picture.key(case.question, mask, attempt)
            if key not in self.known and key not in new:
                new[key] = picture.answer(case.question, mask, attempt)
            answer = new.get(key) or self.known.get(key, "")
        in_mask = in_box = False
        if case.target is not None:
            x, y = int(case.target.x), int(case.target.y)
            x0, y0, x1, y1 = bounding_box(mask)
            in_mask, in_box = bool(mask[y, x]), x0 <= x < x1 and y0 <= y < y1
        return answer == case.answer, in_mask, in_box, float(mask.mean())


def skips(manifest: Manifest, observation: Observation, settings: Settings) -> bool:
    """Return whether the adaptive mode keeps the plain answer."""
    rows = manifest.decoder.rows(settings.layers)
    entropy = attention_entropy(observation.question[-1, rows])
    return reason_to_skip(entropy, observation.probability, settings) is not None


class _Picture:
    """One picture, encoded when the first answer is needed."""

    def __init__(self, model: Model, case: Case) -> None:
        self._model, self._case = model, case
        self._name = hashlib.sha256(case.image.tobytes()).digest()

    @cached_property
    def _image(self) -> EncodedImages:
        return encode_picture(self._model, self._case)

    def key(self, question: str, mask: Flags, attempt: Attempt) -> bytes:
        """Return what names the final pass."""
        settings = attempt.settings
        limits = f"{settings.max_new_tokens}\0{settings.max_refined_pixels}"
        asked = f"{question}\0{settings.final_prompt}\0{limits}"
        return hashlib.sha256(self._name + asked.encode() + np.packbits(mask).tobytes()).digest()

    def answer(self, question: str, mask: Flags, attempt: Attempt) -> str:
        """Run the final pass."""
        model, settings = self._model, attempt.settings
        pair = settings.final_prompt == "pair"
        request = model.requests.plain(question, settings.max_new_tokens, refined=int(pair))
        pixels = np.asarray(self._case.image)
        refined = refine_pixels(pixels, mask, settings.max_refined_pixels).image
        if pair:
            second = model.encode_refined(self._image, [refined], request)
            prompt = request.prompt.pair
            answer = model.answer(self._image, prompt, "final", request, refined=second)
        else:
            image = model.encode_images([refined], request.budget, request.usage)
            answer = model.answer(image, request.prompt.single, "final", request)
        return decode(model, answer)
