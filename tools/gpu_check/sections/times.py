"""Times of the decoder, of answers, and of the released code's way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, StaticCache

from carve_eval.reporting.tables import Row, Table
from carve_runtime import CarveResult
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tools.gpu_check.bench import Bench
from tools.gpu_check.peer import Peer
from tools.gpu_check.subject import QUESTION, Subject
from tools.shared.models.decoder_inputs import random_embeds
from tools.shared.models.released import released
from tools.shared.timing import Way, interleave, ratio, spread

#: Stretches by name: new positions, and those before them.
STRETCHES = {"prefill of 596": (596, 0), "suffix of 24 over it": (24, 596), "one token": (1, 620)}
_CAPACITY = 1024
ANSWER_TOKENS = 3
_OURS, _SDPA, _EAGER, _STATIC = (
    "this runtime",
    "transformers, SDPA",
    "transformers, eager",
    "transformers, static cache, compiled",
)
_MILLISECONDS = 1e3
_GIGABYTE = 1e9


def weights(name: str, bench: Bench) -> Sequence[Table]:
    """Make the weights, load the product, and say how long that took."""
    subject = bench.subject(name)
    made = subject.seconds
    loading = interleave({"load": lambda: subject.carve}, rounds=1, warm=0)["load"][0]
    columns = ("what", "measured")
    rows: list[Row] = [
        ("weights, GB", f"{subject.nbytes / _GIGABYTE:.2f}"),
        ("making them, s", made),
        ("loading the bundle, s", loading),
    ]
    return [Table(f"weights {name}", f"{name}: weights", columns, rows)]


def decoder(name: str, bench: Bench) -> Sequence[Table]:
    """Time stretches of the decoder."""
    subject = bench.subject(name)
    rows = []
    for title, (new, past) in STRETCHES.items():
        ways = {
            _OURS: _own_way(subject, subject.carve._model.decoder, new, past),
            _SDPA: _peer_way(subject.sdpa, subject, new, past),
            _EAGER: _peer_way(subject.eager, subject, new, past),
        }
        rows.append(_row(title, interleave(ways, bench.rounds, warm=bench.warm)))
    return [_table(f"decoder {name}", f"{name}: decoder, ms", (_OURS, _SDPA, _EAGER), rows)]


def int4(name: str, bench: Bench) -> Sequence[Table]:
    """Time the same stretches with matrices of random 4-bit numbers."""
    subject = bench.subject(name)
    with subject.in_int4() as own:
        seconds = interleave(
            {title: _own_way(subject, own, *stretch) for title, stretch in STRETCHES.items()},
            bench.rounds,
            warm=bench.warm,
        )
    rows = [(title, _milliseconds(each)) for title, each in seconds.items()]
    note = "MatMulNBits, blocks of 32, random numbers: times alone."
    return [Table(f"int4 {name}", f"{name}: decoder in int4, ms", ("what", _OURS), rows, note)]


def answers(name: str, bench: Bench) -> Sequence[Table]:
    """Time whole answers about a picture."""
    subject = bench.subject(name)
    vlm, image = subject.carve, subject.image
    asked = ([image], QUESTION, ANSWER_TOKENS)
    ways: dict[str, Way] = {
        _OURS: lambda: vlm.plain(image, QUESTION, max_new_tokens=ANSWER_TOKENS),
        _SDPA: partial(subject.sdpa.generate, *asked),
        _EAGER: partial(subject.eager.generate, *asked),
        "v4": _carve_way(subject),
        "once": _carve_way(subject, resize_refined="once"),
    }
    seconds = interleave(ways, bench.rounds, warm=bench.warm)
    pair, once = seconds.pop("v4"), seconds.pop("once")
    rows = [
        _row("plain answer", seconds),
        _row("CARVE, v4, pair", {_OURS: pair}),
        _row("the same, resize_refined once", {_OURS: once}),
        ["CARVE / plain", f"{ratio(pair, seconds[_OURS]).median:.2f}"],
    ]
    size = f"{image.width} x {image.height}"
    note = f"Answers of {ANSWER_TOKENS} tokens, a picture of {size}."
    columns = (_OURS, _SDPA, _EAGER)
    return [
        _table(f"answers {name}", f"{name}: answers, ms", columns, rows, note),
        _stages(subject, bench.rounds),
    ]


def _stages(subject: Subject, rounds: int) -> Table:
    """Return where the time of CARVE goes."""
    way = _carve_way(subject)
    timings = [way().timings for _ in range(rounds)]
    rows = [(stage, _milliseconds([each[stage] for each in timings])) for stage in timings[0]]
    title = f"{subject.name}: stages of CARVE, v4, pair, ms"
    return Table(f"stages {subject.name}", title, ("stage", _OURS), rows, "Medians.")


def released_way(name: str, bench: Bench) -> Sequence[Table]:
    """Time the released code's way beside CARVE."""
    subject = bench.subject(name)
    prompts, layers = subject.manifest.prompts, subject.manifest.defaults.layers
    question, general = QUESTION, prompts.general
    ways: dict[str, Way] = {
        f"general pass of {steps}": partial(
            released, subject.eager, subject.image, question, general, steps, layers, ANSWER_TOKENS
        )
        for steps in bench.general_steps
    }
    seconds = interleave(
        ways | {_OURS: _carve_way(subject)}, max(1, bench.rounds // 3), warm=bench.warm // 2
    )
    ours = seconds[_OURS]
    rows = [
        (
            title,
            _milliseconds(ours),
            _milliseconds(seconds[title]),
            f"{ratio(seconds[title], ours).median:.2f}",
        )
        for title in ways
    ]
    columns = ("what", "CARVE, v4, pair", "the released code's way", "times as fast")
    note = "No cache, eager attention, all layers' maps in every step; answers by `generate`."
    title = f"{name}: against the released code's way, ms"
    return [Table(f"released {name}", title, columns, rows, note)]


def compiled(name: str, bench: Bench) -> Sequence[Table]:
    """Time one token of transformers' compiled model over a static cache."""
    subject = bench.subject(name)
    new, past = STRETCHES["one token"]
    peer = subject.sdpa
    cache = StaticCache(config=peer.model.config.get_text_config(), max_cache_len=_CAPACITY)
    peer.step(*_tensors(peer, _chunk(subject, past, 0)), cache)
    fast = torch.compile(peer.logits, mode="reduce-overhead")
    inputs = _tensors(peer, _chunk(subject, new, past))

    def way() -> int:
        with torch.inference_mode():
            return int(fast(*inputs, cache).argmax())

    seconds = interleave({_STATIC: way}, bench.rounds, warm=max(bench.warm, 1))
    columns = ("what", _STATIC)
    rows = [("one token", _milliseconds(seconds[_STATIC]))]
    return [Table(f"compiled {name}", f"{name}: torch.compile, ms", columns, rows)]


def _carve_way(subject: Subject, **changes: Any) -> Callable[[], CarveResult]:
    changes |= {"variant": "v4", "final_prompt": "pair", "max_new_tokens": ANSWER_TOKENS}
    return partial(subject.carve.ask, subject.image, QUESTION, **changes)


def _own_way(subject: Subject, own: Decoder, new: int, past: int) -> Way:
    cache = own.empty(_CAPACITY)
    if past:
        cache = own.step(_chunk(subject, past, 0), cache, Counts()).cache
    chunk = _chunk(subject, new, past)
    return lambda: int(own.step(chunk, cache, Counts()).logits.argmax())


def _peer_way(peer: Peer, subject: Subject, new: int, past: int) -> Way:
    inputs = _tensors(peer, _chunk(subject, new, past))
    cache = DynamicCache()
    if past:
        peer.step(*_tensors(peer, _chunk(subject, past, 0)), cache)

    def way() -> int:
        token = peer.step(*inputs, cache if past else DynamicCache())
        if past:
            cache.crop(-new)
        return token

    return way


def _chunk(subject: Subject, new: int, past: int) -> PromptChunk:
    """Return made-up positions of text behind ``past`` others."""
    spec = subject.manifest.decoder
    embeds = random_embeds(spec, new).astype(subject.manifest.dtype)
    stop = past + new
    positions: NDArray[np.int64] = np.arange(past, stop, dtype=np.int64)
    return PromptChunk(embeds, np.tile(positions, (*spec.position_axes, 1, 1)), stop)


def _tensors(peer: Peer, chunk: PromptChunk) -> tuple[torch.Tensor, torch.Tensor]:
    embeds, positions = (torch.from_numpy(array) for array in (chunk.embeds, chunk.positions))
    return embeds.to(peer.device), positions.to(peer.device)


def _table(
    name: str, title: str, ways: Sequence[str], rows: Sequence[Row], note: str = ""
) -> Table:
    columns = ("what", *ways, "the faster of the others / this runtime")
    note = " ".join(filter(None, ("Medians, taken in turn.", note)))
    filled = [[*row, *[None] * (len(columns) - len(row))] for row in rows]
    return Table(name, title, columns, filled, note)


def _row(title: str, seconds: Mapping[str, Sequence[float]]) -> Row:
    """Return medians in milliseconds, and how many times as fast the first way is."""
    ours, *others = seconds.values()
    cells = [title, *(_milliseconds(each) for each in seconds.values())]
    if not others:
        return cells
    fastest = min(others, key=lambda each: spread(each).median)
    return [*cells, f"{ratio(fastest, ours).median:.2f}"]


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{spread(seconds).median * _MILLISECONDS:.2f}"
