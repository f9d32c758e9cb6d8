"""ONNX Runtime's session options against its defaults, which the runtime keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import onnxruntime

from carve_models.names import DECODER
from carve_runtime.bundle import open_bundle
from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import interleave, ratio
from tools.bench.peers.base import PREFILL, PREFIX
from tools.bench.raw_decoder import RawDecoder

_Options: TypeAlias = onnxruntime.SessionOptions


def _no_spinning(options: _Options) -> None:
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")


def _one_thread(options: _Options) -> None:
    options.intra_op_num_threads = 1


def _parallel(options: _Options) -> None:
    options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL


def _no_pattern(options: _Options) -> None:
    options.enable_mem_pattern = False


def _no_arena(options: _Options) -> None:
    options.enable_cpu_mem_arena = False


def _basic(options: _Options) -> None:
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC


_DEFAULT = "default"
_CHANGES: dict[str, Callable[[_Options], None]] = {
    _DEFAULT: lambda options: None,
    "one thread": _one_thread,
    "no spinning": _no_spinning,
    "parallel execution": _parallel,
    "no memory pattern": _no_pattern,
    "no arena": _no_arena,
    "basic optimisations only": _basic,
}


def measure(context: Context) -> Iterator[Figure]:
    """Yield the time of each change over the defaults', for a prefill and for one token."""
    subject = context.largest
    bundle = open_bundle(subject.bundle)
    file, spec = bundle.path(bundle.manifest.graphs[DECODER].file), bundle.manifest.decoder
    sessions = {}
    for name, change in _CHANGES.items():
        options = _Options()
        change(options)
        sessions[name] = RawDecoder(file, spec, options)
    for case, new, past in ((f"prefill of {PREFILL}", PREFILL, 0), ("one token", 1, PREFIX)):
        ways = {name: partial(session.run, new, past) for name, session in sessions.items()}
        seconds = interleave(ways, context.rounds)
        for name, found in seconds.items():
            if name != _DEFAULT:
                value = ratio(found, seconds[_DEFAULT])
                yield Figure(f"session options: {name} / default", f"{subject.name}, {case}", value)
