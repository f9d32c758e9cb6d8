"""A surface that does what its input says, to test the watch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.child import MOST_BYTES
from tests.fuzz.surface import RefusedError


class PanicError(BaseException):
    """Like a panic of Rust, no ``Exception``."""


def _refuse() -> None:
    raise RefusedError("no")


def _panic() -> None:
    raise PanicError


def _untyped() -> None:
    raise ValueError("not one of ours")


_DEEDS: dict[str, Callable[[], object]] = {
    "ok": lambda: None,
    "refused": _refuse,
    "untyped": _untyped,
    "panic": _panic,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: os._exit(0),
    "hang": lambda: time.sleep(1000),
    "memory": lambda: b"\1" * (MOST_BYTES + (64 << 20)),
    "no memory": lambda: b"\1" * (1 << 40),
}


class _Misbehaving:
    inputs = st.sampled_from(sorted(_DEEDS)).map(str.encode)

    def use(self, data: bytes) -> None:
        """Do it."""
        _DEEDS[data.decode()]()


def prepare(_: Path) -> _Misbehaving:
    """Return the surface."""
    return _Misbehaving()
