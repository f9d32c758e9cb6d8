"""VQA accuracy: an answer counts as far as the human answers agree with it.

Written after the evaluator of TextVQA, ``TextVQAAccuracyEvaluator`` and ``EvalAIAnswerProcessor``
of facebookresearch/mmf (LLaVA uses its copy, ``llava/eval/m4c_evaluator.py``), oddities included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Agreeing answers that make an answer entirely right.
_FULL_AGREEMENT = 3
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS)} | {"none": "0"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`!'
#: A full stop goes unless a digit follows.
_FULL_STOP = re.compile(r"\.(?!\d)")
#: The original hands over a flag, re.UNICODE, where the number of replacements belongs.
_MOST_FULL_STOPS = int(re.UNICODE)

#: A word that lacks exactly one of these apostrophes gets it back.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
    mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
"""


def _restored() -> dict[str, str]:
    table = {"somebody'd": "somebodyd"}  # as in the original
    for word in _CONTRACTIONS.split():
        for place in (mark.start() for mark in re.finditer("'", word)):
            table[word[:place] + word[place + 1 :]] = word
    return table


_RESTORED = _restored()


def normalize_answer(answer: str) -> str:
    """Return an answer as the evaluator compares it: case, punctuation, articles, numbers."""
    text = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    spaced = text
    for sign in _PUNCTUATION:
        at_an_edge = f"{sign} " in spaced or f" {sign}" in spaced
        text = text.replace(sign, "" if at_an_edge else " ")
    text = _FULL_STOP.sub("", text, count=_MOST_FULL_STOPS)
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_RESTORED.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Return the accuracy of an answer, averaged over leaving out each human answer once.

    Args:
        answer: the model's answer.
        references: the human answers; the published data sets have ten of each question.
    """
    people = [normalize_answer(reference) for reference in references]
    same = people.count(normalize_answer(answer))
    left_out_agrees = same * min(1.0, (same - 1) / _FULL_AGREEMENT)
    left_out_differs = (len(people) - same) * min(1.0, same / _FULL_AGREEMENT)
    return (left_out_agrees + left_out_differs) / len(people)
