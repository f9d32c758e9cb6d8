"""What is lowered: pocket, and a decoder that others trained on real text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
from PIL import Image

from carve_export import ExportOptions, export_bundle
from carve_export.precision.calibration import Entry
from carve_runtime.bundle import Bundle, default_bundle, open_bundle
from tools.bench.subjects import REAL_TOLERANCE, write_once
from tools.research.pocket.cases import Case, cases
from tools.research.pocket.vocabulary import GENERAL
from tools.research.pocket_l.build import Recipe, build, built_identity
from tools.research.pocket_l.language_model import smollm2_file
from tools.research.pocket_l.projector import FitSpec
from tools.research.pocket_l.questions import SceneQuestions, scene_questions
from tools.research.quality.looks import fingerprint

TEXT = Path(__file__).with_name("text.txt")

#: Where pocket-L points, and how (tools/research/pocket_l/README.md); the mask is as large as
#: pocket's.
_POINTING = {
    "layers": (24,),
    "steps": "first",
    "regularizer": 1e-5,
    "mask_top_p": 0.08,
    "max_regions": 1,
    "rule": "paper",
    "final_prompt": "refined",
    "max_new_tokens": 1,
}
_PROMPTS = {"suffix": "", "general": GENERAL}
_CALIBRATION_SCENES = 12
_QUESTIONS, _PER_SCENE = "questions.json", 2


@dataclass(frozen=True)
class Subject:
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


def pocket(work: Path, scenes: int) -> Subject:
    """Return the default bundle, with three questions about each scene of the test split."""
    bundle = open_bundle(default_bundle())
    work = work / f"pocket-{fingerprint(bundle.manifest)}-{scenes}"
    for name, some in (
        ("calibration", cases("dev", "small", min(scenes, _CALIBRATION_SCENES), _PER_SCENE)),
        ("asked", cases("test", "small", scenes)),
    ):
        _write_questions(work / name, ((case.image, _entry(case)) for case in some))
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
    return Subject(bundle, work, calibration, choices, asked)


def smollm2(work: Path, scenes: int) -> Subject:
    """Return SmolLM2-135M-Instruct behind pocket's eyes; made in ``work`` once.

    Raises:
        DependencyError: the package with the decoder is not installed.
    """
    checkpoint = build(work, Recipe(default_bundle() / "checkpoint", smollm2_file(), FitSpec()))
    work = work / f"pocket-l-{built_identity(work)}"
    bundle, calibration = work / "float32", work / "calibration"
    if not bundle.exists():
        layouts = json.loads((checkpoint / "settings.json").read_text())["prompts"]
        depth = json.loads((checkpoint / "config.json").read_text())["text_config"]
        options = ExportOptions(
            layers=tuple(range(depth["num_hidden_layers"])),
            prompts={**layouts, **_PROMPTS},
            defaults=_POINTING,
            tolerance=REAL_TOLERANCE,
        )
        export_bundle(str(checkpoint), bundle, options)
    every = scene_questions("dev", _CALIBRATION_SCENES + scenes, _PER_SCENE)
    first = islice(every, _CALIBRATION_SCENES)
    _write_questions(calibration, [(scene.image, Entry("", scene.questions[0])) for scene in first])
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
    return Subject(
        open_bundle(bundle),
        work,
        calibration / _QUESTIONS,
        choices,
        text=TEXT.read_text(),
        scenes=list(every),
    )


def _entry(case: Case) -> Entry:
    """Return a case as a calibration file has it, without its image."""
    target = case.target
    center = None if target is None else (float(target.x), float(target.y))
    return Entry("", case.question, case.answer, center)


def _write_questions(folder: Path, asked: Iterable[tuple[Image.Image, Entry]]) -> None:
    """Write images and questions about them into a folder, once."""

    def write(aside: Path) -> None:
        entries = []
        for index, (image, entry) in enumerate(asked):
            name = f"{index:03}.png"
            image.save(aside / name)
            entries.append(msgspec.structs.replace(entry, image=name))
        (aside / _QUESTIONS).write_bytes(msgspec.json.format(msgspec.json.encode(entries)))

    write_once(folder, write)
