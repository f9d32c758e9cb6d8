"""The columns of questions and answers, as Arrow has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from carve_models.errors import RecordError
from carve_runtime.batch.record import ERROR, IMAGE, QUESTION, AnswerOptions, Record
from carve_runtime.late_import import late_import
from carve_runtime.usage import STAGES, Counts

if TYPE_CHECKING:
    import pyarrow as pa


def import_arrow() -> Any:
    """Return the module ``pyarrow``.

    Raises:
        DependencyError: it is not installed.
    """
    return late_import("pyarrow", "Arrow", 'install its extra: pip install "carve-vlm[ray]"')


def require_columns(names: Collection[str], where: str) -> None:
    """Check the columns of questions.

    Raises:
        RecordError: one is missing, or one of the others has the name of a field of the answers.
    """
    for needed in (IMAGE, QUESTION):
        if needed not in names:
            raise RecordError(
                f"{where} has no column {needed!r}; its columns are {', '.join(names) or 'none'}",
                f"name the pictures' column {IMAGE!r} and the questions' column {QUESTION!r}",
            )
    Record(image="", question="", columns=dict.fromkeys(set(names) - {IMAGE, QUESTION}))


def with_answers(
    questions: pa.Table, answers: Sequence[dict[str, Any]], options: AnswerOptions
) -> pa.Table:
    """Return a table with the pictures' names in their place, and answers behind its columns.

    Every table that this returns has the same types, whether or not records could be answered.

    Args:
        questions: n rows.
        answers: n of :func:`carve_runtime.batch.answer`.
        options: how they were answered.
    """
    pa, types = import_arrow(), _types()
    table = questions.drop_columns([IMAGE])
    for name in (IMAGE, *options.fields, ERROR):
        column = [answer[name] for answer in answers]
        table = table.append_column(name, pa.array(column, type=types[name]))
    return table


def _types() -> dict[str, Any]:
    """Return the Arrow type of every field of an answer."""
    pa = import_arrow()
    whole = pa.list_(pa.int64())
    return {
        IMAGE: pa.string(),
        "answer": pa.string(),
        "plain_answer": pa.string(),
        "probability": pa.float64(),
        "plain_probability": pa.float64(),
        "skipped": pa.string(),
        "bbox": whole,
        "image_size": whole,
        "refined_size": whole,
        "refined_limited": pa.bool_(),
        "mask_share": pa.float64(),
        "entropy": pa.float64(),
        "timings": pa.struct([(stage, pa.float64()) for stage in STAGES]),
        "counts": pa.struct([(each.name, pa.int64()) for each in fields(Counts)]),
        ERROR: pa.string(),
    }
