"""The decoder against the runtimes that a user would pick instead: prefill, suffix, decode."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import interleave, ratio, spread
from tools.bench.peers import ABSENT, PEERS
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX, Peer
from tools.bench.subjects import Subject

_OURS = "ours"
#: Case, method, bound of ours over the best peer.
_CASES = (
    (f"prefill of {PREFILL}", "prefill", 1.1),
    (f"suffix of {SUFFIX} over {PREFIX}", "suffix", 1.0),
    (f"one token over {PREFIX}", "decode", 1.0),
)


def measure(context: Context) -> Iterator[Figure]:
    """Yield every peer's seconds, and ours over the best of them."""
    subject = context.largest
    peers: dict[str, Peer] = {}
    for name, make in PEERS.items():
        try:
            peers[name] = make(subject, context.work)
        except Exception as error:  # a peer fails in its own ways: the table says how
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            yield Figure("plain", f"{subject.name}, {name}", None, note=f"not measured: {reason}")
    for name, reason in ABSENT.items():
        yield Figure("plain", f"{subject.name}, {name}", None, note=f"not measured: {reason}")
    for case, method, bound in _CASES:
        yield from _compare(context, subject, peers, case, method, bound)


def _compare(
    context: Context, subject: Subject, peers: dict[str, Peer], case: str, method: str, bound: float
) -> Iterator[Figure]:
    ways = {name: getattr(peer, method) for name, peer in peers.items()}
    seconds = interleave(ways, context.rounds)
    spreads = {name: spread(found) for name, found in seconds.items()}
    for name, found in spreads.items():
        yield Figure(case, f"{subject.name}, {name}", found, "s")
    best = min((name for name in spreads if name != _OURS), key=lambda name: spreads[name].median)
    value = ratio(seconds[_OURS], seconds[best])
    yield Figure(f"{case}: ours / {best}", subject.name, value, reach=bound)
