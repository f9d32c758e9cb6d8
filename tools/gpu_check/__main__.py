"""Check the product on a GPU: protocol, answers, times, errors. See docs/gpu.md.

python -m tools.gpu_check --prepared build/gpu-check --out build/gpu
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic

import click
import torch

from carve_eval.reporting.tables import Table, open_console
from carve_models.errors import first_line
from tools.gpu_check.bench import Bench, Section
from tools.gpu_check.device import describe_machine, find_device
from tools.gpu_check.report import NAME, Results
from tools.gpu_check.sections import parity, pocket, protocol, times

#: Models in the order in which they are measured.
MODELS = ("llava-1.5-7b", "qwen2.5-vl-3b")
_BUDGET = 280.0
#: Measurements of each time, and those before that do not count.
_ROUNDS, _WARM = 9, 2
#: Steps of the released code's general pass: as many as of the answer, and the most it takes.
_GENERAL_STEPS = (times.ANSWER_TOKENS, 32)
#: Sections that are not begun with fewer seconds left.
_LEAST = 5.0
_LEAST_TO_COMPILE = 40.0


def sections(prepared: Path) -> list[Section]:
    """Return all sections, the most important first, for the models that are prepared."""
    found = [name for name in MODELS if (prepared / name).is_dir()]
    first, others = map(_of_models, (found[:1], found[1:]))
    small = [Section("pocket", pocket.measure), Section("protocol", protocol.measure)]
    chosen = [*first, *small, *others]
    if found:
        run = partial(times.compiled, found[0])
        chosen.append(Section(f"{found[0]}: torch.compile", run, _LEAST_TO_COMPILE))
    return chosen


def _of_models(found: Sequence[str]) -> list[Section]:
    return [section for name in found for section in _of_model(name)]


def _of_model(name: str) -> list[Section]:
    works = {
        "weights": times.weights,
        "decoder": times.decoder,
        "answers": times.answers,
        "released code": times.released_way,
        "int4": times.int4,
        "error": parity.measure,
    }
    if name != MODELS[0]:  # the released code is for LLaVA-1.5
        del works["released code"]
    return [Section(f"{name}: {what}", partial(run, name)) for what, run in works.items()]


def check(bench: Bench, results: Results, chosen: Sequence[Section], budget: float) -> None:
    """Run sections one after the other; one that fails, or has no time left, is named."""
    begin = monotonic()
    for section in chosen:
        start = monotonic()
        left = begin + budget - start
        tables: Sequence[Table] = []
        if left < max(section.least, _LEAST):
            results.add(section.name, 0.0, f"skipped, {max(left, 0):.0f} s left", [])
            continue
        try:
            tables = section.run(bench)
            outcome = "done"
        except Exception as error:  # the others are worth having
            outcome = f"failed: {type(error).__name__}: {first_line(error)[:200]}"
            log = bench.out / f"{section.name.replace(': ', '-').replace(' ', '-')}-error.txt"
            log.write_text(traceback.format_exc())
        results.add(section.name, monotonic() - start, outcome, tables)


@click.command(context_settings={"show_default": True})
@click.option(
    "--prepared",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path("build/gpu-check"),
    help="What python -m tools.gpu_check.prepare wrote.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build/gpu"))
@click.option(
    "--budget",
    default=_BUDGET,
    help="Seconds after which no section is begun; what is left out is named.",
)
@click.option("--rounds", type=int, help=f"Of each time; {_ROUNDS} on a GPU, else 1, if not given.")
@click.option("--only", multiple=True, help="Sections whose names contain this.")
def main(
    prepared: Path, out: Path, budget: float, rounds: int | None, only: tuple[str, ...]
) -> None:
    """Check the product on this machine's GPU, or say that it has none and use the CPU."""
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.allow_tf32 = False
    device = find_device()
    console = open_console()
    console.print(device.description)
    if device.is_gpu:
        bench = Bench(prepared, out, device, rounds or _ROUNDS, _WARM, _GENERAL_STEPS)
    else:  # a smoke test is all that there can be
        bench = Bench(prepared, out, device, rounds or 1, 0, _GENERAL_STEPS[:1])
    chosen = [
        section
        for section in sections(prepared)
        if not only or any(part in section.name for part in only)
    ]
    try:
        machine = describe_machine(device)
        check(bench, Results(machine, device.is_gpu, out, console), chosen, budget)
    finally:
        bench.close()
    console.print(f"{out / NAME}.json, {out / NAME}.md")


if __name__ == "__main__":
    main()
