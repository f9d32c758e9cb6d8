"""What is lowered: pocket, and a decoder that others trained on real text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from carve_export.precision.calibration import Entry
from carve_models.replacing import write_json
from carve_runtime.bundle import Bundle, default_bundle, open_bundle
from tools.research.pocket.world.cases import by_picture, cases
from tools.research.pocket_l.build import Recipe, build, built_identity, export
from tools.research.pocket_l.fit.projector import FitSpec
from tools.research.pocket_l.pointing.questions import SceneQuestions, scene_questions
from tools.research.precision.questions import entry_of, save_picture
from tools.shared.files import write_once
from tools.shared.models.bundles import fingerprint
from tools.shared.models.language_model import smollm2_file

TEXT = Path(__file__).with_name("text.txt")

_CALIBRATION_SCENES = 12
_QUESTIONS, _PER_SCENE = "questions.json", 2


@dataclass(frozen=True)
class Baseline:
    """A bundle in float32 and what it is measured with.

    Attributes:
        bundle: in float32.
        work: folder of what is made of it.
        calibration: JSON list of questions for :func:`carve_export.precision.quality.lower_bundle`.
        choices: precisions to measure, from the mildest on.
        asked: questions whose answers are compared; ``None`` for a model that cannot answer.
        text: what the language model is to predict; empty for one that knows questions only.
        scenes: where it is asked to look.

    No scene that is asked about is used for calibration.
    """

    bundle: Bundle
    work: Path
    calibration: Path
    choices: Sequence[tuple[str, ...]]
    asked: Path | None = None
    text: str = ""
    scenes: Sequence[SceneQuestions] = ()


def pocket(work: Path, scenes: int) -> Baseline:
    """Return the default bundle, with three questions about each scene of the test split."""
    bundle = open_bundle(default_bundle())
    work = work / f"pocket-{fingerprint(bundle.manifest)}-{scenes}"
    for name, chosen in (
        ("calibration", cases("dev", "small", min(scenes, _CALIBRATION_SCENES), _PER_SCENE)),
        ("asked", cases("test", "small", scenes)),
    ):
        _write_questions(
            work / name,
            ((group[0].image, map(entry_of, group)) for group in by_picture(chosen)),
        )
    choices = (
        ("fp16",),
        ("bf16",),
        ("int8-static",),
        ("int8",),
        ("int8", "embed_tokens=int8", "lm_head=int8"),
        ("int4",),
        ("decoder=int4-only",),
        ("vision_encoder=int4-only",),
        ("int4-only",),
        ("int4-only", "lm_head=int4-only"),
    )
    calibration, asked = (work / name / _QUESTIONS for name in ("calibration", "asked"))
    return Baseline(bundle, work, calibration, choices, asked)


def smollm2(work: Path, scenes: int) -> Baseline:
    """Return SmolLM2-135M-Instruct behind pocket's eyes; made in ``work`` once.

    Raises:
        DependencyError: the package with the decoder is not installed.
    """
    build(work, Recipe(default_bundle() / "checkpoint", smollm2_file(), FitSpec()))
    bundle = export(work)
    work = work / f"pocket-l-{built_identity(work)}"
    calibration = work / "calibration"
    every = scene_questions("dev", _CALIBRATION_SCENES + scenes, _PER_SCENE)
    first = islice(every, _CALIBRATION_SCENES)
    _write_questions(
        calibration, ((scene.image, [Entry("", scene.questions[0])]) for scene in first)
    )
    choices = (
        ("fp16",),
        ("bf16",),
        ("decoder=int8-static",),
        ("decoder=int8",),
        ("decoder=int8", "lm_head=int8"),
        ("int8", "embed_tokens=int8", "lm_head=int8"),
        ("decoder=int4",),
        ("decoder=int4-only",),
        ("decoder=int4-only", "lm_head=int4-only"),
    )
    return Baseline(
        bundle,
        work,
        calibration / _QUESTIONS,
        choices,
        text=TEXT.read_text(),
        scenes=list(every),
    )


def _write_questions(folder: Path, asked: Iterable[tuple[Image.Image, Iterable[Entry]]]) -> None:
    """Write images and questions about them into a folder, once."""

    def write(aside: Path) -> None:
        entries = [
            entry
            for index, (image, about) in enumerate(asked)
            for entry in save_picture(aside, f"{index:03}.png", image, about)
        ]
        write_json(aside / _QUESTIONS, entries)

    write_once(folder, write)
