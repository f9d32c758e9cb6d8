"""What the extra output costs: prefill time and memory, with and without it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from carve_runtime.bundle import open_bundle
from tools.bench.context import Context
from tools.bench.lines.memory import LIBRARIES
from tools.bench.raw_decoder import RawDecoder, run_once
from tools.bench.untapped import decoder_file, untapped_file
from tools.shared.figures import Figure
from tools.shared.memory import peak_of
from tools.shared.timing import interleave, ratio, spread

_PREFILL = 600
_TIME, _MEMORY = 1.03, 1.02


def measure(context: Context) -> Iterator[Figure]:
    """Yield the two ratios."""
    for subject in context.subjects:
        spec = open_bundle(subject.bundle).manifest.decoder
        files = {
            "with": decoder_file(subject),
            "without": untapped_file(subject, context.work),
        }
        decoders = {name: RawDecoder(file, spec) for name, file in files.items()}
        ways = {name: partial(decoder.run, _PREFILL) for name, decoder in decoders.items()}
        seconds = interleave(ways, context.rounds)
        case = f"{subject.name}, prefill {_PREFILL}, {len(spec.tapped_layers)} layers tapped"
        value = ratio(seconds["with"], seconds["without"])
        yield Figure("tap: time with / without", case, value, reach=_TIME)
        # The least of several: loading takes more or less, as the allocator happens to go.
        peaks = {
            name: min(
                peak_of(run_once, file, spec, _PREFILL, imports=LIBRARIES)[0]
                for _ in range(context.rounds)
            )
            for name, file in files.items()
        }
        memory = spread([peaks["with"] / peaks["without"]])
        yield Figure("tap: peak memory with / without", case, memory, reach=_MEMORY)
