"""OpenVINO gives a thread another stack for signals, which has to live as long as the thread."""

from __future__ import annotations

import ctypes
import sys

import pytest

from carve_models import names
from carve_runtime.backends import load_graph
from carve_runtime.backends.openvino import the_core
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from tests.support import POCKET


class SignalStack(ctypes.Structure):
    """Linux's ``stack_t``."""

    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack() -> tuple[int | None, int]:
    """Return the address and size of this thread's stack for signals."""
    stack = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address, stack.size


@pytest.mark.skipif(sys.platform != "linux", reason="reads the stack as Linux tells it")
def test_graphs_released_in_any_order_leave_the_stack_for_signals() -> None:
    bundle = open_bundle(POCKET)
    settings = BackendSettings(backend="openvino", threads=1)
    assert the_core().available_devices  # loads the plug-ins
    before = signal_stack()
    graphs = [load_graph(bundle, names.VISION_ENCODER, settings) for _ in range(3)]
    assert signal_stack() == before
    while graphs:
        graphs.pop(0)  # the oldest first
    assert signal_stack() == before
