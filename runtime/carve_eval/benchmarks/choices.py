"""Multiple choice: find out which option a free answer means.

Every answer means one of the options, as in the evaluations that the published figures come from:
A-OKVQA's maps an answer that is none of them to the nearest (``evaluation/remap_predictions.py``
of allenai/aokvqa, by word vectors), ViCrop's, on which CARVE builds, to the most similar line of
the question (``get_index`` in ``get_score.py`` of saccharomycetes/mllms_know). We take a letter or
an option's text where there is one, and the most similar option, as ViCrop does, otherwise; how
often that was necessary is reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from string import ascii_uppercase
from typing import Annotated

import msgspec

from carve_eval.benchmarks.vqa import normalize_answer

#: What LLaVA-1.5 adds to multiple-choice questions (``docs/Evaluation.md`` of haotian-liu/LLaVA).
INSTRUCTION = "Answer with the option's letter from the given choices directly."

_LETTERS = ascii_uppercase
#: The options of a question in a file: at least two, and a letter for each.
Options = Annotated[list[str], msgspec.Meta(min_length=2, max_length=len(_LETTERS))]

#: "(B)", "B.", "B)", "B:" at the start of an answer; a bare letter only if it is the whole answer.
_MARKED = re.compile(r"\(([A-Za-z])\)|([A-Za-z])[.):](?:\s|$)")
_BARE = re.compile(r"([A-Za-z])\W*$")


@dataclass(frozen=True)
class Choice:
    """What an answer means.

    Attributes:
        index: of the option; ``None`` if the answer has nothing in common with any.
        named: whether the answer names the option, or merely resembles it.
    """

    index: int | None
    named: bool


def letter_of(index: int) -> str:
    """Return the letter of an option, "A" for 0."""
    return _LETTERS[index]


def read_choice(answer: str, options: Sequence[str]) -> Choice:
    """Find the option that an answer means.

    Args:
        answer: the model's answer: a letter, an option's text, or anything.
        options: their texts, in the order of their letters.
    """
    text = answer.strip()
    letter = _MARKED.match(text) or _BARE.match(text)
    if letter:
        index = _LETTERS.index(next(filter(None, letter.groups())).upper())
        if index < len(options):
            return Choice(index, True)
    normalized = normalize_answer(text)
    for index, option in enumerate(options):
        if normalized and normalize_answer(option) == normalized:
            return Choice(index, True)
    likeness = [SequenceMatcher(None, text.lower(), option.lower()).ratio() for option in options]
    best = max(likeness)
    return Choice(likeness.index(best) if best else None, False)


def is_chosen(answer: str, options: Sequence[str], right: Sequence[str]) -> bool:
    """Return whether an answer means an option whose text is among the right ones."""
    index = read_choice(answer, options).index
    return index is not None and options[index] in right


def list_options(question: str, options: Sequence[str]) -> str:
    """Return a question with its options as LLaVA-1.5 lists them, and the instruction."""
    lines = [f"{letter_of(index)}. {option}" for index, option in enumerate(options)]
    return "\n".join([question, *lines, INSTRUCTION])


def share_unnamed(answers: Sequence[str], options: Sequence[Sequence[str]]) -> float:
    """Return the share of the answers that name no option, one list of options per answer."""
    pairs = zip(answers, options, strict=True)
    unnamed = [not read_choice(answer, given).named for answer, given in pairs]
    return sum(unnamed) / len(unnamed)
