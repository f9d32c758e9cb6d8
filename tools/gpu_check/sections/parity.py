"""How far half precision is from float32 at full depth: the product, and transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carve_eval.reporting.tables import Row, Table
from carve_runtime.images.preprocess import preprocess
from carve_runtime.usage import Counts
from tools.gpu_check.bench import Bench
from tools.gpu_check.peer import Array
from tools.gpu_check.subject import QUESTION, Subject

#: Tokens behind the question, one by one: any ids.
_FORCED = np.array([101, 202, 303], np.int64)

Arrays = Sequence[Array]


def measure(name: str, bench: Bench) -> Sequence[Table]:
    """Compare logits and attention rows at the end of prefix, question and single tokens."""
    subject = bench.subject(name)
    requests = subject.requests
    parts = [*requests.prefix(), *requests.plain(QUESTION).prompt.single, _FORCED]
    stops, ours = _observe(subject)
    subject.release_runtime()  # the model in float32 takes its place
    arguments = subject.eager.arguments(parts, [subject.image])
    half = subject.eager.observe(arguments, stops)
    exact = subject.observe_widened(parts, stops)
    outputs = ("logits", "attention rows")
    rows: list[Row] = [
        [output, *(f"{100 * relative_error(each, right):.3f}" for each in (own, peers))]
        for output, own, peers, right in zip(outputs, ours, half, exact, strict=True)
    ]
    agree = [
        sum(left.argmax() == right.argmax() for left, right in zip(logits, exact[0], strict=True))
        for logits in (ours[0], half[0])
    ]
    rows.append(["likeliest tokens that agree", *(f"{n} of {len(stops)}" for n in agree)])
    columns = ("error, %", "this runtime, float16", "transformers, float16")
    note = (
        "Root mean square relative to transformers in float32, at the ends of prefix and question "
        f"and of {len(_FORCED)} single tokens behind them; attention of layers "
        f"{', '.join(map(str, subject.manifest.decoder.tapped_layers))}."
    )
    return [Table(f"parity {name}", f"{name}: error of half precision", columns, rows, note)]


def _observe(subject: Subject) -> tuple[list[int], tuple[Arrays, Arrays]]:
    """Return the ends of chunks, and logits and rows there."""
    model, counts = subject.carve._model, Counts()
    seen = preprocess(np.asarray(subject.image), subject.manifest.image)
    features = [model.image_features(seen, counts)]
    prefix = model.embed(subject.requests.prefix(), features)
    asked = subject.requests.plain(QUESTION).prompt.single
    whole = model.embed([*subject.requests.prefix(), *asked, _FORCED], features)
    question = whole.length - len(_FORCED)
    stops = [prefix.length, *range(question, whole.length + 1)]
    cache, start = model.decoder.empty(whole.length), 0
    logits, rows = [], []
    for stop in stops:
        step = model.decoder.step(whole.part(start, stop), cache, counts)
        logits.append(np.array(step.logits))
        rows.append(np.array(step.attention))
        cache, start = step.cache, stop
    return stops, (logits, rows)


def relative_error(actual: Arrays, exact: Arrays) -> float:
    """Return the norm of the error relative to that of the exact result, root mean square."""
    errors = [
        np.linalg.norm(left.astype(np.float64) - right) / np.linalg.norm(right)
        for left, right in zip(actual, exact, strict=True)
    ]
    return float(np.sqrt(np.square(errors).mean()))
