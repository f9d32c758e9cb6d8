"""ONNX Runtime's session options against its defaults, which the runtime keeps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from onnxruntime import ExecutionMode, GraphOptimizationLevel, SessionOptions

from carve_models.names import DECODER
from carve_runtime.bundle import open_bundle
from tools.bench.context import Context
from tools.bench.peers.base import PREFILL, PREFIX
from tools.bench.raw_decoder import RawDecoder
from tools.shared.figures import Figure
from tools.shared.timing import interleave, ratio

_DEFAULT = "default"
#: Attributes of the session options, by the change's name.
_CHANGES: dict[str, dict[str, object]] = {
    _DEFAULT: {},
    "one thread": {"intra_op_num_threads": 1},
    "no spinning": {},
    "parallel execution": {"execution_mode": ExecutionMode.ORT_PARALLEL},
    "no memory pattern": {"enable_mem_pattern": False},
    "no arena": {"enable_cpu_mem_arena": False},
    "basic optimisations only": {
        "graph_optimization_level": GraphOptimizationLevel.ORT_ENABLE_BASIC
    },
}
_ENTRIES = {"no spinning": ("session.intra_op.allow_spinning", "0")}


def measure(context: Context) -> Iterator[Figure]:
    """Yield the time of each change over the defaults', for a prefill and for one token."""
    subject = context.largest
    bundle = open_bundle(subject.bundle)
    file, spec = bundle.path(bundle.manifest.graphs[DECODER].file), bundle.manifest.decoder
    sessions = {}
    for name, attributes in _CHANGES.items():
        options = SessionOptions()
        for attribute, value in attributes.items():
            setattr(options, attribute, value)
        if name in _ENTRIES:
            options.add_session_config_entry(*_ENTRIES[name])
        sessions[name] = RawDecoder(file, spec, options)
    for case, new, past in ((f"prefill of {PREFILL}", PREFILL, 0), ("one token", 1, PREFIX)):
        ways = {name: partial(session.run, new, past) for name, session in sessions.items()}
        seconds = interleave(ways, context.rounds)
        for name in seconds:
            if name != _DEFAULT:
                relative = ratio(seconds[name], seconds[_DEFAULT])
                line = f"session options: {name} / default"
                yield Figure(line, f"{subject.name}, {case}", relative)
