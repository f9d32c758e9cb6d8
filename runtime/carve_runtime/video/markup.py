"""What a prompt says of a clip, as each model was trained to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from carve_models.prompts.segment import Segment
from carve_models.video_rules.rule import VideoRule
from carve_runtime.prompt.text import PromptPart, prompt_parts
from carve_runtime.video.moments import Moment

_SECONDS = 60
#: Stands for itself where texts are filled in already.
_TEXT = "{text}"
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("", "", *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))
_HUNDRED, _THOUSAND = 100, 1000


def clip_parts(
    rule: VideoRule,
    moments: Sequence[Moment],
    seconds: float,
    text: str,
    encode: Callable[[str], NDArray[np.int64]],
) -> list[PromptPart]:
    """Return the prompt about a clip as token ids and images, one for each block of moments.

    Args:
        rule: the bundle's.
        moments: what is seen; the first alone where all are one block.
        seconds: the length of the clip.
        text: the question, with its suffix.
        encode: text to ids, (S,) int64, see :meth:`Text.encode`.
    """
    segments: list[Segment] = []
    for segment in rule.prompt:
        if segment.image is None:
            segments.append(_filled(segment, {"text": text}))
        else:
            segments.extend(_clip(rule, moments, seconds))
    return prompt_parts(_joined(segments), _TEXT, encode)


def _clip(rule: VideoRule, moments: Sequence[Moment], seconds: float) -> list[Segment]:
    markup = rule.markup
    told = {"frames": in_words(len(moments)), "duration": str(timedelta(seconds=int(seconds)))}
    segments = [_filled(segment, told) for segment in markup.begin]
    for number, moment in enumerate(moments):
        minutes, rest = divmod(int(moment.seconds), _SECONDS)
        told = {
            "seconds": f"{moment.seconds:.1f}",
            "clock": f"{minutes:02d}:{rest:02d}",
            "number": str(number + 1),
        }
        segments.extend(markup.between if number else ())
        segments.extend(
            _filled(segment, told) if segment.image is None else Segment(image=number)
            for segment in markup.moment
        )
    return [*segments, *markup.end]


def _filled(segment: Segment, told: Mapping[str, str]) -> Segment:
    """Return a segment with what stands in braces replaced, if it is a text."""
    if segment.text is None:
        return segment
    text = segment.text
    for name, value in told.items():
        text = text.replace(f"{{{name}}}", value)
    return Segment(text=text)


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with texts that follow each other as one: they are encoded together."""
    joined: list[Segment] = []
    for segment in segments:
        before = joined[-1].text if joined else None
        if segment.text is not None and before is not None:
            joined[-1] = Segment(text=before + segment.text)
        else:
            joined.append(segment)
    return joined


def in_words(number: int) -> str:
    """Return a whole number as English words, in digits from a thousand on."""
    if number < len(_ONES):
        return _ONES[number]
    if number < _HUNDRED:
        tens, ones = divmod(number, 10)
        return f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens]
    if number < _THOUSAND:
        hundreds, rest = divmod(number, _HUNDRED)
        return f"{_ONES[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")
    return str(number)
