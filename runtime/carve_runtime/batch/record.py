"""One record to one record: what ``carve-run batch`` and others that answer by the thousand share.

In: an image, a question and other columns. Out: plain data with the same keys for every record, one
that could not be answered included.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from carve_models.errors import CarveError, RecordError, SettingsError, first_line
from carve_models.settings import SettingsChanges, Variant
from carve_runtime.carve import Carve
from carve_runtime.images.load import ImageInput
from carve_runtime.result import CarveResult, PlainResult

#: What a record has besides columns of its own.
IMAGE, QUESTION = "image", "question"
#: What an answer takes of :meth:`CarveResult.to_dict`; the settings are the same for all.
CARVE_FIELDS = (
    "answer",
    "plain_answer",
    "probability",
    "plain_probability",
    "skipped",
    "bbox",
    "image_size",
    "refined_size",
    "refined_limited",
    "mask_share",
    "entropy",
    "timings",
    "counts",
)
#: What it takes of :meth:`PlainResult.to_dict`.
PLAIN_FIELDS = ("plain_answer", "plain_probability", "timings", "counts")
#: Beside them: the picture's file, where pictures are written, and why a record has no answer.
READ_FROM, SAVED, ERROR = "read_from", "saved", "error"
#: What a record has besides its own columns, and the names that those cannot have.
_RESERVED = frozenset({IMAGE, QUESTION, *CARVE_FIELDS, READ_FROM, SAVED, ERROR})

T = TypeVar("T")
Result: TypeAlias = "PlainResult | CarveResult"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A question about an image.

    Attributes:
        image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.
        question: what to ask.
        name: what the answer calls the image; its path if ``None``.
        columns: what else belongs to the question, kept in the answer.
        number: its place among the records, which tells two that are equal apart.

    Raises:
        RecordError: a column has the name of one of the answer's fields.
    """

    image: ImageInput
    question: str
    name: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        if taken := _RESERVED.intersection(self.columns):
            raise RecordError(
                f"the column {min(taken)!r} has the name of a field of the answers",
                "rename the column",
            )

    @property
    def label(self) -> str | None:
        """What the answer calls the image; ``None`` for pixels or bytes without a name."""
        if self.name is None and isinstance(self.image, (str, os.PathLike)):
            return os.fspath(self.image)
        return self.name

    @property
    def read_from(self) -> str | None:
        """The absolute path of the image, ``None`` for pixels or bytes.

        Tells two images apart that two lists call the same. What is not UTF-8 is escaped.
        """
        if not isinstance(self.image, (str, os.PathLike)):
            return None
        path = os.path.abspath(os.fsdecode(self.image))  # noqa: PTH100, which resolves "..", unlike Path's
        return path.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How every record is answered.

    Attributes:
        plain: give the plain answer alone; of the settings, only ``max_new_tokens`` counts then.
        variant: "v1" to "v4", as in :meth:`carve_runtime.Carve.ask`.
        settings: fields of :class:`carve_runtime.Settings` that replace the bundle's defaults.
    """

    plain: bool = False
    variant: Variant | None = None
    settings: SettingsChanges = field(default_factory=SettingsChanges)

    def __post_init__(self) -> None:
        if self.plain and (unused := self._given() - {"max_new_tokens"}):
            raise SettingsError(
                f"{min(unused)} says how CARVE works, and only plain answers are asked for",
                "leave one of the two out",
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys of an answer's result; image, question and error are beside them."""
        return PLAIN_FIELDS if self.plain else CARVE_FIELDS

    def _given(self) -> set[str]:
        given = {**self.settings, "variant": self.variant}
        return {name for name, value in given.items() if value is not None}


_DEFAULTS = AnswerOptions()


def answer(vlm: Carve, record: Record, options: AnswerOptions = _DEFAULTS) -> dict[str, Any]:
    """Answer a question; return plain data for JSON.

    The keys are the record's columns, ``image``, ``question``, ``options.fields``, ``read_from``
    (:attr:`Record.read_from`) and ``error``. The last says why there is no answer, and the other
    results are then ``None``.

    Raises:
        SettingsError: the options do not fit the bundle, and so no record can be answered.
    """
    ((answered, _),) = answer_together(vlm, [record], options)
    return answered


def answer_together(
    vlm: Carve, records: Sequence[Record], options: AnswerOptions = _DEFAULTS
) -> Iterator[tuple[dict[str, Any], Result | None]]:
    """Answer questions about one image, which is encoded once.

    Yields for each what :func:`answer` returns, and what it was made of, with maps and pixels.

    Args:
        vlm: a loaded bundle.
        records: all with the image of the first.
        options: how each is answered.

    Raises:
        SettingsError: the options do not fit the bundle, and so no record can be answered.
    """
    ask, no_image = _attempt(lambda: _asker(vlm, records, options))
    for record in records:
        result, failure = None, no_image
        if ask is not None:
            result, failure = _attempt(partial(ask, record.question))
        found = {} if result is None else result.to_dict()
        answered = {
            **record.columns,
            IMAGE: record.label,
            QUESTION: record.question,
            **{name: found.get(name) for name in options.fields},
            READ_FROM: record.read_from,
            ERROR: failure,
        }
        yield answered, result


def _asker(
    vlm: Carve, records: Sequence[Record], options: AnswerOptions
) -> Callable[[str], Result]:
    """Return what asks about the records' image; for several questions, it is encoded here."""
    image, settings = records[0].image, options.settings
    plain: Callable[..., Result] = partial(vlm.plain, image)
    ask: Callable[..., Result] = partial(vlm.ask, image)
    if len(records) > 1:
        session = vlm.open(image, scout_pixels=settings.get("scout_pixels"))
        plain, ask = session.plain, session.ask
    if options.plain:
        return partial(plain, max_new_tokens=settings.get("max_new_tokens"))
    return partial(ask, variant=options.variant, **settings)


def _attempt(call: Callable[[], T]) -> tuple[T | None, str | None]:
    """Return what a call returns, or ``None`` and why it failed."""
    try:
        return call(), None
    except SettingsError:
        raise
    except CarveError as error:
        return None, str(error)
    except Exception as error:  # a fault of ours costs one answer, not all that follow it
        return None, f"{type(error).__name__}: {first_line(error)}."
