"""The rows as tables."""

from __future__ import annotations

from collections.abc import Sequence

from carve_models.manifest import Quality
from tools.research.precision.measure import Language, Row
from tools.shared.tables import Table

_COST = ("precision", "size", "prefill", "decode")
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
    """Return what lower precision does to a bundle's answers; float32's row comes first."""
    return Table(
        "pocket",
        "Answers to questions about scenes, against float32",
        (*_COST, *ANSWERS),
        [(*_cost(row), *answer_figures(row.quality)) for row in rows],
        _note(rows[0]),
    )


def language_table(rows: Sequence[Row]) -> Table:
    """Return what it does to a language model's predictions and attention."""
    return Table(
        "smollm2",
        "SmolLM2-135M-Instruct: a text, and where it looks, against float32",
        (*_COST, *_LANGUAGE),
        [(*_cost(row), *(_language(row.language) if row.language else ())) for row in rows],
        _note(rows[0]),
    )


def label(choice: tuple[str, ...]) -> str:
    """Return a choice as it is given on the command line."""
    return ", ".join(choice) or "float32"


def _cost(row: Row) -> tuple[str, ...]:
    size = row.quality.size if row.quality else 1.0
    times = ("", "")
    if row.paces:
        ratios = row.paces.prefill.ratio, row.paces.decode.ratio
        times = f"{ratios[0].median:.2f}", f"{ratios[1].median:.2f}"
    return label(row.choice), f"{size:.2f}", *times


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


def _language(found: Language) -> tuple[str, ...]:
    looks = found.looks
    return (
        f"{found.perplexity:.2f}",
        f"{found.next_token:.1%}",
        f"{looks.attention:.3f}",
        f"{looks.least_layer:.3f}",
        f"{looks.read_layers:.3f}",
        f"{looks.strongest:.1%}",
        f"{looks.mask_overlap:.3f}",
        f"{looks.least_mask_overlap:.3f}",
        f"{found.pointing:.1%}",
    )


def _note(usual: Row) -> str:
    if usual.paces is None:
        return ""
    prefill, decode = usual.paces.prefill.usual, usual.paces.decode.usual
    return (
        f"Prefill of {usual.paces.positions} positions and decode of one behind them relative to "
        f"float32, which takes {prefill.median:.3g} s and {decode.median:.3g} s."
    )
