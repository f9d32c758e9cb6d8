"""Several records at once, on threads: pictures are decoded and written while graphs run."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import msgspec

from carve_models.errors import SettingsError
from carve_models.settings import require_count
from carve_runtime.batch.record import (
    SAVED,
    AnswerOptions,
    Record,
    Result,
    answer_together,
)
from carve_runtime.carve import Carve
from carve_runtime.images.load import ImageInput
from carve_runtime.result import CarveResult

#: Pictures in work at once: one is decoded or written while the graphs of another run.
WORKERS = 2
#: Questions that one worker asks about a picture before others may take the next ones.
_MOST_TOGETHER = 16
#: Pictures of each worker that are answered, in work or next. What is answered is small, and waits
#: for its turn in the file.
_WINDOW = 4
_DIGEST_BYTES = 4
_LONGEST_NAME = 40


def answer_all(
    vlm: Carve,
    records: Iterable[Record],
    options: AnswerOptions,
    *,
    workers: int = WORKERS,
    save_dir: Path | None = None,
    stop: Event | None = None,
) -> Generator[dict[str, Any], None, None]:
    """Answer records; yield in their order what :func:`carve_runtime.batch.answer` returns.

    Consecutive records about one image share what depends on it alone. Records are taken as they
    are needed, so that the memory is that of ``workers`` questions however many there are.

    Args:
        vlm: a loaded bundle.
        records: what to answer.
        options: how each is answered.
        workers: images in work at once, each on a thread of its own.
        save_dir: where each record's pictures are written, in a folder of their own, which its
            answer names as ``saved``.
        stop: once it is set, no more are begun, and those in work are the last.

    Raises:
        SettingsError: the options do not fit the bundle.
        OSError: a picture cannot be written.
    """
    require_count("workers", workers)
    if options.plain and save_dir is not None:
        raise SettingsError(
            "a plain answer has no pictures to save", "leave out the folder for them, or plain"
        )
    stop = stop or Event()
    running: deque[Future[list[dict[str, Any]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="carve-batch")
    try:
        for job in _jobs(records):
            if stop.is_set():
                break
            running.append(pool.submit(_answer_job, vlm, job, options, save_dir, stop))
            if len(running) == _WINDOW * workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def share_of_cores(workers: int) -> int | None:
    """Return the threads that a graph run should have beside others; ``None`` is the backend's.

    Raises:
        SettingsError: ``workers`` is no whole number above 0.
    """
    require_count("workers", workers)
    if workers == 1:
        return None
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(cores // workers, 1)


def describe_run(vlm: Carve, options: AnswerOptions) -> dict[str, Any]:
    """Return plain data that two runs share if their answers are made in the same way."""
    manifest = vlm.manifest
    digest = hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()
    settings = vlm.settings(variant=options.variant, **options.settings)
    return {
        "bundle": f"{manifest.source} {digest}",
        "plain": options.plain,
        **vars(settings),
    }


def _jobs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Put consecutive records about one image together."""
    job: list[Record] = []
    for record in records:
        if len(job) == _MOST_TOGETHER or (job and not _is_same(job[0].image, record.image)):
            yield job
            job = []
        job.append(record)
    if job:
        yield job


def _is_same(image: ImageInput, other: ImageInput) -> bool:
    paths = (str, os.PathLike)
    return image is other or (
        isinstance(image, paths) and isinstance(other, paths) and image == other
    )


def _answer_job(
    vlm: Carve, job: list[Record], options: AnswerOptions, save_dir: Path | None, stop: Event
) -> list[dict[str, Any]]:
    """Answer records about one image, up to where ``stop`` is set."""
    answers: list[dict[str, Any]] = []
    if stop.is_set():
        return answers
    for record, (answer, result) in zip(job, answer_together(vlm, job, options), strict=True):
        if save_dir is not None:
            answer[SAVED] = _save(result, record, save_dir)
        answers.append(answer)
        if stop.is_set():
            break
    return answers


def _save(result: Result | None, record: Record, save_dir: Path) -> str | None:
    """Write the pictures of a result; return their folder."""
    if not isinstance(result, CarveResult):
        return None
    folder = save_dir / _folder_name(record)
    result.save(folder, record.question)
    return os.fspath(folder)


def _folder_name(record: Record) -> str:
    """Return a name for every file system, which no other record of this or earlier runs has."""
    label = record.label or ""
    content = msgspec.json.encode((label, record.read_from, record.question))
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9]+", "-", Path(label).stem).strip("-")[:_LONGEST_NAME]
    return "-".join(filter(None, (f"{record.number:07}", readable, digest)))
