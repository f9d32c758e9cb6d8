"""libcarve for the campaign: built once, called through the tests' own binding."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock

from tests.consumers.building import SOURCE, run
from tests.consumers.c.libcarve import LibcarveError, Library
from tests.fuzz.surface import RefusedError
from tests.support import ROOT


@cache
def library() -> Library:
    """Return the library, built in ``build/fuzz`` unless it is there."""
    onnxruntime, build = ROOT / "build" / "onnxruntime", ROOT / "build" / "fuzz" / "libcarve"
    build.mkdir(parents=True, exist_ok=True)
    with FileLock(build.with_suffix(".lock")):
        run(SOURCE / "get_onnxruntime.sh", onnxruntime, sys.executable)
        run("cmake", "-S", SOURCE, "-B", build, f"-DONNXRUNTIME_ROOT={onnxruntime}")
        run("cmake", "--build", build)
    return Library(Path(build / "libcarve.so.0"))


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a status into :class:`RefusedError`."""
    try:
        yield
    except LibcarveError as error:
        raise RefusedError(str(error)) from error
