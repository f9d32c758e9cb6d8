"""The decoder against the runtimes that a user would pick instead: prefill, suffix, decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from carve_models.errors import first_line
from tools.bench.context import Context
from tools.bench.peers import ABSENT, PEERS
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX, Peer
from tools.shared.figures import Figure
from tools.shared.timing import interleave, ratio, spread

_OURS = "ours"
#: Case, what a peer does, bound of ours over the best peer.
_CASES: tuple[tuple[str, Callable[[Peer], object], float], ...] = (
    (f"prefill of {PREFILL}", lambda peer: peer.prefill(), 1.1),
    (f"suffix of {SUFFIX} over {PREFIX}", lambda peer: peer.extend(SUFFIX), 1.0),
    (f"one token over {PREFIX}", lambda peer: peer.extend(1), 1.0),
)


def measure(context: Context) -> Iterator[Figure]:
    """Yield every peer's seconds, and ours over the best of them."""
    subject = context.largest
    peers: dict[str, Peer] = {}
    for name, make in PEERS.items():
        try:
            peers[name] = make(subject, context.work)
        except Exception as error:  # a peer fails in its own ways: the table says how
            reason = first_line(error)
            yield Figure("plain", f"{subject.name}, {name}", None, note=f"not measured: {reason}")
    for name, reason in ABSENT.items():
        yield Figure("plain", f"{subject.name}, {name}", None, note=f"not measured: {reason}")
    for case, run, bound in _CASES:
        ways = {name: partial(run, peer) for name, peer in peers.items()}
        seconds = interleave(ways, context.rounds)
        spreads = {name: spread(values) for name, values in seconds.items()}
        for name, value in spreads.items():
            yield Figure(case, f"{subject.name}, {name}", value, "s")
        best = min(spreads.keys() - {_OURS}, key=lambda name: spreads[name].median)
        value = ratio(seconds[_OURS], seconds[best])
        yield Figure(f"{case}: ours / {best}", subject.name, value, reach=bound)
