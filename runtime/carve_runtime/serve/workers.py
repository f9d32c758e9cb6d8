"""Threads that answer, and what the event loop knows of each answer while it is made."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Generic, TypeVar

from carve_models.errors import CarveError
from carve_runtime.prompt.request import OnToken, Token
from carve_runtime.serve.refusals import BusyError, ours
from carve_runtime.serve.sources import Source

T = TypeVar("T")


class _StoppedError(Exception):
    """Nobody waits for the answer any more; leaves the thread at the next token."""


class Job(Generic[T]):
    """One answer on its way. All but :meth:`call` belongs to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tokens: asyncio.Queue[Token | None] = asyncio.Queue()
        self._stopped = threading.Event()
        #: Whether a thread works on it, or has.
        self.running = False
        #: Set at the first token, or at the end.
        self.began = asyncio.Event()
        #: What came of it.
        self.answer: asyncio.Future[T] = self._loop.create_future()
        self.answer.add_done_callback(self._end)

    async def tokens(self) -> AsyncIterator[Token]:
        """Yield the text as it is generated, until the answer is there or has failed."""
        while (token := await self._tokens.get()) is not None:
            yield token

    def finish(self, answer: T) -> None:
        """Take the answer, unless it has failed before."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def stop(self, error: CarveError) -> None:
        """Let the answer fail with an error, unless it is there."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def _take(self, token: Token | None) -> None:
        self._tokens.put_nowait(token)
        self.began.set()

    def _end(self, answer: asyncio.Future[T]) -> None:
        self._stopped.set()
        self._take(None)
        if not answer.cancelled():
            answer.exception()  # seen: the log need not mention what nobody is left to read

    def call(self, work: Callable[[OnToken], T]) -> T:
        """Run the work in the thread that calls this, until its end or until it is stopped."""
        self._require_wanted()
        return work(self._on_token)

    def _on_token(self, token: Token) -> None:
        self._require_wanted()
        self._loop.call_soon_threadsafe(self._take, token)

    def _require_wanted(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError


class Workers:
    """A fixed number of threads; jobs wait for one in the order in which they came.

    A job that is stopped keeps its thread until its next token, and nobody waits for it.
    """

    def __init__(self, workers: int, queue: int) -> None:
        """Start.

        Args:
            workers: answers that are made at the same time.
            queue: requests that may wait besides.
        """
        self._workers, self._places = workers, workers + queue
        self._threads = ThreadPoolExecutor(workers, "carve-answer")
        self._fetchers = ThreadPoolExecutor(self._places, "carve-fetch")
        self._fetches = threading.Semaphore(self._places)
        self._free = asyncio.Semaphore(workers)
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds = 0.0
        self._inside = 0
        #: Answers that are being made.
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests that have a place and no thread; a job that was stopped has a thread alone."""
        return max(self._inside - self.running, 0)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place from a request's first byte to its answer's last.

        Raises:
            BusyError: there is none.
        """
        if self._inside >= self._places:
            raise self._busy(f"{self._inside} requests are being answered or wait")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def start(self, source: Source, work: Callable[[bytes, OnToken], T]) -> Job[T]:
        """Return a job that reads a picture, and then works on it."""
        job: Job[T] = Job()
        task = asyncio.create_task(self._run(job, source, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that was stopped while it waited waits no longer.
        job.answer.add_done_callback(lambda _: job.running or task.cancel())
        return job

    def close(self) -> None:
        """Wait until every thread has ended."""
        self._fetchers.shutdown(cancel_futures=True)
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, job: Job[T], source: Source, work: Callable[[bytes, OnToken], T]) -> None:
        loop = asyncio.get_running_loop()
        try:
            ready = await self._fetched(source) if source.waits else source
            async with self._free:
                with self._counted(job):
                    answer = await loop.run_in_executor(
                        self._threads, job.call, lambda on_token: work(ready.read(), on_token)
                    )
                job.finish(answer)
        except Exception as error:
            job.stop(ours(error))

    async def _fetched(self, source: Source) -> Source:
        """Read a picture in a thread that counts to its end, also when nobody waits any more."""
        if not self._fetches.acquire(blocking=False):
            raise self._busy(f"{self._places} pictures are being fetched")
        fetch = self._fetchers.submit(source.read)
        fetch.add_done_callback(lambda _: self._fetches.release())
        picture = await asyncio.wrap_future(fetch)
        return Source(lambda: picture)

    def _busy(self, cause: str) -> BusyError:
        return BusyError(
            f"{cause}, which is all that may",
            "try again later",
            max(math.ceil(self._seconds * self._inside / self._workers), 1),
        )

    @contextmanager
    def _counted(self, job: Job[T]) -> Iterator[None]:
        start = monotonic()
        job.running = True
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._seconds = monotonic() - start
