"""One row of a table: lower a bundle, then measure it. Both are kept, and done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from carve_export.precision.agreement import Outcome, ask_all, measure_quality
from carve_export.precision.calibration import read_entries
from carve_export.precision.quality import LowerOptions, lower_bundle, measurable
from carve_models import names
from carve_models.manifest import Quality
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.text import Text
from tools.research.precision.attention import (
    AttentionAgreement,
    SceneAttention,
    agreement,
    attend,
)
from tools.research.precision.baselines import Baseline
from tools.research.precision.pace import Paces, pace
from tools.research.precision.scoring import Score, score
from tools.shared.files import kept

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
        attention: agreement of the attention with that in float32.
    """

    perplexity: float
    next_token: float
    pointing: float
    attention: AttentionAgreement


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
    """Makes the rows of one table. Bundles and measurements stay in the baseline's folder."""

    def __init__(self, baseline: Baseline, extent: Extent) -> None:
        """Measure nothing yet."""
        self._baseline, self._extent = baseline, extent

    def row(self, choice: tuple[str, ...], on_stage: OnStage = lambda stage: None) -> Row:
        """Return the row of a choice; lower and measure what is not there yet.

        Args:
            choice: see :func:`carve_export.precision.parse_precisions`; none for float32 itself.
            on_stage: is told what is being done.

        Raises:
            CarveError: the choice cannot be, or not for this bundle.
        """
        baseline, extent = self._baseline, self._extent
        bundle = self._lowered(choice, on_stage) if choice else baseline.bundle

        def once(what: str, kind: type[T], make: Callable[[Bundle], T]) -> T:
            on_stage(what)
            file = baseline.work / f"{slug(choice)}.{what}.json"
            return kept(file, kind, lambda: make(bundle))

        paces = language = None
        quality = bundle.manifest.quality
        if _NOT_COMPUTED not in precisions(bundle):
            paces = once(f"times-{extent.positions}-{extent.rounds}", Paces, self._pace)
        if baseline.asked:
            quality = once("answers", Quality, self._answers)
        if baseline.text:
            language = once(f"language-{extent.window}", Language, self._language)
        return Row(choice, quality, paces, language)

    def _lowered(self, choice: tuple[str, ...], on_stage: OnStage) -> Bundle:
        baseline = self._baseline
        out = baseline.work / slug(choice)
        if not (out / names.MANIFEST_FILE).exists():
            options = LowerOptions(precisions=choice, calibration=baseline.calibration)
            lower_bundle(baseline.bundle.folder, out, options, on_stage=on_stage)
        return open_bundle(out)

    def _pace(self, bundle: Bundle) -> Paces:
        extent = self._extent
        return pace(self._baseline.bundle, bundle, extent.positions, extent.rounds)

    def _answers(self, bundle: Bundle) -> Quality:
        """Return what a manifest says, measured with other questions."""
        quality = bundle.manifest.quality
        if quality is None:
            return measure_quality(self._baseline_answers, self._baseline_answers, {}, 1.0)
        with measurable(bundle, precisions(bundle)) as copy:
            return measure_quality(
                self._baseline_answers, self._ask(copy), quality.precision, quality.size
            )

    @cached_property
    def _baseline_answers(self) -> list[Outcome]:
        return self._ask(self._baseline.bundle)

    def _ask(self, bundle: Bundle) -> list[Outcome]:
        asked = self._baseline.asked
        return list(ask_all(bundle, read_entries(asked), asked.parent)) if asked else []

    def _language(self, bundle: Bundle) -> Language:
        """Compare a bundle's language model with the one in float32."""
        baseline_score, baseline_attention = self._baseline_language
        if bundle is self._baseline.bundle:
            predicted, attention = self._baseline_language
        else:
            with measurable(bundle, precisions(bundle)) as copy:
                predicted, attention = self._observe(copy)
        return Language(
            perplexity=predicted.perplexity,
            next_token=predicted.agreement(baseline_score),
            pointing=attention.pointing,
            attention=agreement(baseline_attention, attention),
        )

    @cached_property
    def _baseline_language(self) -> tuple[Score, SceneAttention]:
        return self._observe(self._baseline.bundle)

    def _observe(self, bundle: Bundle) -> tuple[Score, SceneAttention]:
        text = Text(bundle.path(names.TOKENIZER_FILE), bundle.manifest.decoder.control_ids)
        predicted = score(bundle, text.encode(self._baseline.text), self._extent.window)
        return predicted, attend(bundle, self._baseline.scenes)


def precisions(bundle: Bundle) -> set[str]:
    """Return the precisions of a bundle's components, without float32."""
    return set(bundle.manifest.precisions.values())


def slug(choice: tuple[str, ...]) -> str:
    """Return a choice as the name of a file."""
    return "-".join(choice).replace("=", "-") or "float32"
