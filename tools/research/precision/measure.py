"""One row of a table: lower a bundle, then measure it. Both are kept, and done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from carve_export.precision.agreement import Outcome, ask_all, measure_quality
from carve_export.precision.calibration import read_entries
from carve_export.precision.quality import LowerOptions, lower_bundle, measurable
from carve_models import names
from carve_models.manifest import Quality
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.text import Text
from tools.research.precision.looks import LookAgreement, Looks, agreement, look
from tools.research.precision.pace import Paces, pace
from tools.research.precision.scoring import Score, score
from tools.research.precision.subjects import Subject

OnStage = Callable[[str], None]
T = TypeVar("T")

#: What is emulated on a CPU: a time would say nothing.
_NOT_COMPUTED = "bf16"


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        positions: of the timed prompt.
        rounds: of each time.
        window: tokens of the text that one run sees.
    """

    positions: int = 600
    rounds: int = 9
    window: int = 512


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a language model makes of a text and of scenes.

    Attributes:
        perplexity: of the text.
        next_token: share of its tokens before which the model expects what it does in float32.
        pointing: share of questions whose strongest token is the target's, or beside it.
        looks: agreement of the attention with that in float32.
    """

    perplexity: float
    next_token: float
    pointing: float
    looks: LookAgreement


@dataclass(frozen=True)
class Row:
    """What one choice of precisions costs.

    Attributes:
        choice: the precisions; none for float32 itself.
        quality: of its answers to questions it was not calibrated on, if it can answer; else what
            its manifest says, ``None`` for float32.
        paces: times; ``None`` where a CPU does not compute in the precision.
        language: ``None`` where there is no text.
    """

    choice: tuple[str, ...]
    quality: Quality | None
    paces: Paces | None
    language: Language | None


class Measurer:
    """Makes the rows of one subject. Bundles and measurements stay in its folder."""

    def __init__(self, subject: Subject, extent: Extent) -> None:
        """Measure nothing yet."""
        self._subject, self._extent = subject, extent

    def row(self, choice: tuple[str, ...], on_stage: OnStage = lambda stage: None) -> Row:
        """Return the row of a choice; lower and measure what is not there yet.

        Args:
            choice: see :func:`carve_export.precision.parse_precisions`; none for float32 itself.
            on_stage: is told what is being done.

        Raises:
            CarveError: the choice cannot be, or not for this bundle.
        """
        subject, extent = self._subject, self._extent
        made = self._lowered(choice, on_stage) if choice else subject.bundle

        def once(what: str, kind: type[T], make: Callable[[Bundle], T]) -> T:
            on_stage(what)
            return kept(subject.work / f"{slug(choice)}.{what}.json", kind, lambda: make(made))

        paces = language = None
        quality = made.manifest.quality
        if _NOT_COMPUTED not in precisions(made):
            paces = once(f"times-{extent.positions}-{extent.rounds}", Paces, self._pace)
        if subject.asked:
            quality = once("answers", Quality, self._answers)
        if subject.text:
            language = once(f"language-{extent.window}", Language, self._language)
        return Row(choice, quality, paces, language)

    def _lowered(self, choice: tuple[str, ...], on_stage: OnStage) -> Bundle:
        subject = self._subject
        out = subject.work / slug(choice)
        if not (out / names.MANIFEST_FILE).exists():
            options = LowerOptions(precisions=choice, calibration=subject.calibration)
            lower_bundle(subject.bundle.folder, out, options, on_stage=on_stage)
        return open_bundle(out)

    def _pace(self, made: Bundle) -> Paces:
        return pace(self._subject.bundle, made, self._extent.positions, self._extent.rounds)

    def _answers(self, made: Bundle) -> Quality:
        """Return what a manifest says, measured with other questions."""
        known = made.manifest.quality
        if known is None:
            return measure_quality(self._usual_answers, self._usual_answers, {}, 1.0)
        with measurable(made, precisions(made)) as bundle:
            return measure_quality(
                self._usual_answers, self._ask(bundle), known.precision, known.size
            )

    @cached_property
    def _usual_answers(self) -> list[Outcome]:
        return self._ask(self._subject.bundle)

    def _ask(self, bundle: Bundle) -> list[Outcome]:
        asked = self._subject.asked
        return list(ask_all(bundle, read_entries(asked), asked.parent)) if asked else []

    def _language(self, made: Bundle) -> Language:
        """Compare a bundle's language model with the one in float32."""
        if made is self._subject.bundle:
            found, looks = self._usual
        else:
            with measurable(made, precisions(made)) as bundle:
                found, looks = self._observe(bundle)
        score_of_usual, looks_of_usual = self._usual
        return Language(
            perplexity=found.perplexity,
            next_token=found.agreement(score_of_usual),
            pointing=looks.pointing,
            looks=agreement(looks_of_usual, looks),
        )

    @cached_property
    def _usual(self) -> tuple[Score, Looks]:
        return self._observe(self._subject.bundle)

    def _observe(self, bundle: Bundle) -> tuple[Score, Looks]:
        subject = self._subject
        text = Text(bundle.path(names.TOKENIZER_FILE), bundle.manifest.decoder.control_ids)
        predicted = score(bundle, text.encode(subject.text), self._extent.window)
        return predicted, look(bundle, subject.scenes)


def precisions(bundle: Bundle) -> set[str]:
    """Return the precisions of a bundle's components, without float32."""
    quality = bundle.manifest.quality
    return set() if quality is None else set(quality.precision.values())


def slug(choice: tuple[str, ...]) -> str:
    """Return a choice as the name of a file."""
    return "-".join(choice).replace("=", "-") or "usual"


def kept(file: Path, kind: type[T], make: Callable[[], T]) -> T:
    """Return what a file holds; what is made is written, complete or not at all."""
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=kind)
    made = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    aside.replace(file)
    return made
