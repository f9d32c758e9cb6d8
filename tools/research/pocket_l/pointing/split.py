"""Attention of a whole split: measured once, kept in one file per scene."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carve_eval.reporting.progress import progress
from carve_models.replacing import replacing
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.model import Model
from tools.research.pocket.world.vocabulary import GENERAL
from tools.research.pocket_l.pointing.questions import SceneQuestions
from tools.shared.models.passes import first_attention

#: The suffix of the paper's prompts.
SUFFIX = "Answer the question using a single word or phrase."

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The n questions of a split, with the attention of every pass.

    Attributes:
        question: (2, n, layers, tokens) float32; first without the suffix, then with it.
        general: the same of the general instruction, about each question's scene.
        scene: (n,) int64, numbers of the scenes.
        targets: (n, 2) int64, the token on the centre of the object asked for.
        other_objects: for each question, (k, 2) int64, the same of the scene's other objects.
    """

    question: Floats
    general: Floats
    scene: Tokens
    targets: Tokens
    other_objects: tuple[Tokens, ...]


def unmeasured(scenes: Iterable[SceneQuestions], folder: Path) -> list[SceneQuestions]:
    """Return the scenes of which the folder has no file."""
    return [scene for scene in scenes if not _file(folder, scene).exists()]


def measure_scenes(bundle: Bundle, scenes: Sequence[SceneQuestions], folder: Path) -> None:
    """Write one file for each scene into the folder."""
    model = Model(bundle)
    for scene in progress(scenes, "attention"):
        texts = _texts(scene)
        _, rows = first_attention(model, scene.image, texts)
        with replacing(_file(folder, scene)) as aside:
            np.save(aside, rows.reshape(2, len(texts) // 2, *rows.shape[1:]))


def load_split(scenes: Iterable[SceneQuestions], folder: Path) -> Split:
    """Gather what was measured."""
    question, general, number = [], [], []
    targets: list[Tokens] = []
    other_objects: list[Tokens] = []
    for index, scene in enumerate(scenes):
        rows = np.load(_file(folder, scene))
        for position, target in enumerate(scene.targets):
            question.append(rows[:, position])
            general.append(rows[:, -1])
            number.append(index)
            targets.append(target)
            other_objects.append(scene.objects[np.any(scene.objects != target, axis=1)])
    return Split(
        np.stack(question, axis=1),
        np.stack(general, axis=1),
        np.array(number),
        np.stack(targets),
        tuple(other_objects),
    )


def _texts(scene: SceneQuestions) -> list[str]:
    """Return questions and general instruction, then the same with the suffix."""
    texts = [*scene.questions, GENERAL]
    return [*texts, *(f"{text} {SUFFIX}" for text in texts)]


def _file(folder: Path, scene: SceneQuestions) -> Path:
    """Name a scene's file after all that was shown and asked."""
    content = scene.image.tobytes() + "\n".join(_texts(scene)).encode()
    return folder / f"{hashlib.sha256(content).hexdigest()[:16]}.npy"
