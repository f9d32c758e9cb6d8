"""The rows as tables."""

from __future__ import annotations

from collections.abc import Sequence

from carve_eval.reporting.tables import Table
from carve_models.manifest import Quality
from tools.research.precision.measure import Language, Row
from tools.research.precision.pace import Paces

ANSWERS = ("answers", "plain answers", "mask IoU", "least", "right", "points")
_LANGUAGE = (
    "perplexity",
    "next token",
    "attention",
    "least layer",
    "layer read",
    "strongest",
    "mask IoU",
    "least",
    "points",
)


def question_table(rows: Sequence[Row]) -> Table:
    """Return what lower precision does to a bundle's answers; times say nothing of one so small."""
    return Table(
        "pocket",
        "Answers to questions about scenes, against float32",
        ("precision", "size", *ANSWERS),
        [(*_size(row), *answer_figures(row.quality)) for row in rows],
    )


def language_table(rows: Sequence[Row]) -> Table:
    """Return what it does to a language model's predictions and attention."""
    return Table(
        "smollm2",
        "SmolLM2-135M-Instruct: a text, and where it looks, against float32",
        ("precision", "size", "prefill", "decode", *_LANGUAGE),
        [(*_size(row), *_times(row.paces), *_language(row.language)) for row in rows],
        _note(rows[0].paces),
    )


def label(choice: tuple[str, ...]) -> str:
    """Return a choice as it is given on the command line."""
    return ", ".join(choice) or "float32"


def _size(row: Row) -> tuple[str, str]:
    return label(row.choice), f"{row.quality.size if row.quality else 1:.2f}"


def _times(paces: Paces | None) -> tuple[str, str]:
    if paces is None:
        return "", ""
    return f"{paces.prefill.ratio.median:.2f}", f"{paces.decode.ratio.median:.2f}"


def answer_figures(quality: Quality | None) -> tuple[str, ...]:
    """Return the columns ``ANSWERS`` of a bundle; empty ones for what was not measured."""
    if quality is None:
        return ("",) * len(ANSWERS)
    return (
        f"{quality.answer_agreement:.1%}",
        f"{quality.plain_agreement:.1%}",
        f"{quality.mask_overlap:.3f}",
        f"{quality.least_mask_overlap:.3f}",
        _share(quality.right),
        _share(quality.pointing),
    )


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _language(language: Language | None) -> tuple[str, ...]:
    if language is None:
        return ("",) * len(_LANGUAGE)
    attention = language.attention
    return (
        f"{language.perplexity:.2f}",
        f"{language.next_token:.1%}",
        f"{attention.attention:.3f}",
        f"{attention.least_layer:.3f}",
        f"{attention.read_layers:.3f}",
        f"{attention.strongest:.1%}",
        f"{attention.mask_overlap:.3f}",
        f"{attention.least_mask_overlap:.3f}",
        f"{language.pointing:.1%}",
    )


def _note(paces: Paces | None) -> str:
    if paces is None:
        return ""
    prefill, decode = paces.prefill.float32, paces.decode.float32
    return (
        f"Prefill of {paces.positions} positions and decode of one behind them relative to "
        f"float32, which takes {prefill.median:.3g} s and {decode.median:.3g} s."
    )
