"""Load on ``carve-run serve``: many clients, and every answer compared with ``Carve.ask``.

python -m tools.bench.serve              # 32 clients, 2,000 requests
python -m tools.bench.serve --write      # and fill docs/serve.md

Ends with 1 if an answer is wrong or missing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import openai

from carve_eval.reporting.tables import Table, open_console
from carve_models.replacing import write_json
from carve_runtime import Carve
from tools.checks.figures import publish
from tools.shared.machine import this_machine
from tools.shared.memory import memory_of
from tools.shared.report import Report
from tools.shared.server import serving

_SCENES = Path(__file__).parents[2] / "tests" / "scenes"
_BUNDLE = "default"
_SEED = 0
#: How a question is asked; one of them at random.
_WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"variant": "v3", "mask_top_p": 0.05},
    {"final_prompt": "refined"},
    {"early_exit": True},
)
#: The share of requests that take their answer in pieces.
_STREAMED = 0.25
#: The share of requests after which memory counts: every thread has worked by then, and the cache
#: of images is full.
_WARM = 0.1
_MEGA = 1e6


@dataclass(frozen=True)
class Case:
    """A question, and what the answer has to be.

    Attributes:
        image: a data URL.
        question: what is asked.
        changes: settings.
        expected: answer, plain answer and box.
    """

    image: str
    question: str
    changes: dict[str, Any]
    expected: list[Any]


@dataclass
class Tally:
    """What has come of the requests so far.

    Attributes:
        seconds: of each answer, from its request to its last byte.
        wrong: answers that differ.
        failed: what was raised instead of an answer.
        memory: bytes of the server's own, after a share of the requests and at the end.
    """

    seconds: list[float]
    wrong: list[str]
    failed: list[str]
    memory: list[int]


def cases(questions: int | None = None) -> list[Case]:
    """Ask the scenes' questions, all or the first ones, in every way, without a server."""
    vlm = Carve.load()
    made = []
    entries = json.loads((_SCENES / "questions.json").read_text(encoding="utf-8"))
    for entry in entries[:questions]:
        data = (_SCENES / entry["image"]).read_bytes()
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        for changes in _WAYS:
            result = vlm.ask(data, entry["question"], **changes)
            expected = [result.answer, result.plain_answer, list(result.bbox)]
            made.append(Case(url, entry["question"], changes, expected))
    return made


async def load(url: str, process: int, asked: list[Case], clients: int, requests: int) -> Tally:
    """Send requests from so many clients at a time.

    Args:
        url: of the server.
        process: its number.
        asked: what to choose from.
        clients: each sends its next request when it has its answer.
        requests: of all clients together.
    """
    choose = random.Random(_SEED)
    queue = iter([(choose.choice(asked), choose.random() < _STREAMED) for _ in range(requests)])
    tally = Tally([], [], [], [])

    async def work(client: openai.AsyncOpenAI, queue: Iterator[tuple[Case, bool]]) -> None:
        for case, stream in queue:
            start = perf_counter()
            try:
                actual = await _ask(client, case, stream=stream)
            except openai.OpenAIError as error:
                tally.failed.append(str(error))
                continue
            tally.seconds.append(perf_counter() - start)
            if actual != case.expected:
                tally.wrong.append(f"{case.question} {case.changes}: {actual}, not {case.expected}")
            if len(tally.seconds) == round(requests * _WARM):
                tally.memory.append(memory_of(str(process))["RssAnon"])

    async with openai.AsyncOpenAI(base_url=f"{url}v1", api_key="none", max_retries=0) as client:
        await asyncio.gather(*(work(client, queue) for _ in range(clients)))
    tally.memory.append(memory_of(str(process))["RssAnon"])
    return tally


async def _ask(client: openai.AsyncOpenAI, case: Case, *, stream: bool) -> list[Any]:
    picture = {"type": "image_url", "image_url": {"url": case.image}}
    content = [picture, {"type": "text", "text": case.question}]
    request: Any = {"model": _BUNDLE, "messages": [{"role": "user", "content": content}]}
    done: Any = await client.chat.completions.create(
        **request, stream=stream, extra_body={"carve": case.changes}
    )
    if not stream:
        return [done.choices[0].message.content, done.carve["plain_answer"], done.carve["bbox"]]
    text = ""
    async for chunk in done:
        text += chunk.choices[0].delta.content or ""
    return [text, chunk.carve["plain_answer"], chunk.carve["bbox"]]


def table(
    tally: Tally, elapsed: float, busy: float, clients: int, workers: int, distinct: int
) -> Table:
    """Return what was measured.

    Args:
        tally: of the requests.
        elapsed: seconds, of all of them.
        busy: the machine's load average before the first.
        clients: at a time.
        workers: of the server.
        distinct: requests that differ.
    """
    median, high = np.percentile(tally.seconds or [np.nan], [50, 99])
    early, late = tally.memory[0] / _MEGA, tally.memory[-1] / _MEGA
    rows = [
        ("clients, workers", f"{clients}, {workers}"),
        ("requests, distinct ones", f"{len(tally.seconds) + len(tally.failed)}, {distinct}"),
        ("wrong answers", str(len(tally.wrong))),
        ("failures", str(len(tally.failed))),
        ("answers a second", f"{len(tally.seconds) / elapsed:.1f}"),
        ("p50", f"{median:.2f} s"),
        ("p99", f"{high:.2f} s"),
        (f"memory after {_WARM:.0%} of the requests", f"{early:.0f} MB"),
        ("memory at the end", f"{late:.0f} MB"),
        ("load average of the machine before the first request", f"{busy:.1f}"),
    ]
    return Table("load", "carve-run serve under load", ("what", "measured"), rows)


@click.command(context_settings={"show_default": True})
@click.option("--clients", default=32, help="Clients at a time.")
@click.option("--requests", default=2000, help="Requests of all clients together.")
@click.option("--questions", type=int, help="The first ones of the scenes' questions alone.")
@click.option("--workers", default=2, help="Of the server.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(
    clients: int, requests: int, questions: int | None, workers: int, out: Path, write: bool
) -> None:
    """Load a server with the default bundle; nothing else should run on the machine meanwhile."""
    busy = os.getloadavg()[0]
    asked = cases(questions)
    with serving(_BUNDLE, "--workers", workers, "--queue", clients) as (url, process):
        start = perf_counter()
        tally = asyncio.run(load(url, process.pid, asked, clients, requests))
        elapsed = perf_counter() - start
    measured = table(tally, elapsed, busy, clients, workers, len(asked))
    source = f"python -m tools.bench.serve --clients {clients} --requests {requests}"
    report = Report(source, [measured], machine=this_machine())
    write_json(out / "serve.json", report)
    measured.show(open_console())
    for line in [*tally.wrong, *tally.failed]:
        click.echo(line, err=True)
    if write:
        publish("serve", report)
    sys.exit(bool(tally.wrong or tally.failed))


if __name__ == "__main__":
    main()
