r"""Run public benchmarks from local folders with any bundle, and print the paper's tables.

python -m tools.eval default --pope data/pope --vstar data/vstar_bench
python -m tools.eval my-bundle --textvqa data/textvqa --setting "variant=v1" \
    --setting "variant=v4 mask_top_p=0.4" --limit 500

``docs/eval.md`` says how the folders are laid out. The same command again goes on where an
interrupted one stopped, asks nothing that is answered, and prints the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from carve_models.cli import ErrorCommand
from carve_models.names import MANIFEST_FILE
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle, sha256
from carve_runtime.carve import Carve
from carve_runtime.cli.backend_options import backend_options
from tools.eval.answers import AnswerFile, identify
from tools.eval.benchmark import Benchmark
from tools.eval.figures import Figures, evaluate
from tools.eval.files import digest, require_complete
from tools.eval.registry import BENCHMARKS
from tools.eval.runner import Run, ask, by_image, open_questions
from tools.eval.setting import DEFAULT, Changes, Setting, parse_changes
from tools.eval.tables import print_tables

_FIGURES_FILE = "figures.json"
_INTERRUPTED = 130
#: Of tables that do not go to a terminal, in characters.
_WIDTH = 120


def _folder_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for the folder of each benchmark."""
    for benchmark in reversed(BENCHMARKS):
        command = click.option(
            f"--{benchmark.name}",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help=f"Folder of {benchmark.title}.",
        )(command)
    return command


@click.command(cls=ErrorCommand, context_settings={"show_default": True})
@click.argument("bundle")
@_folder_options
@click.option(
    "--setting",
    "changes",
    multiple=True,
    default=[DEFAULT],
    callback=parse_changes,
    help='Changes to the bundle\'s settings, as "variant=v4 mask_top_p=0.4"; repeat to compare.',
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/eval"))
@click.option("--limit", type=click.IntRange(min=0), help="Most questions of each benchmark.")
@backend_options
@click.option("--no-verify", is_flag=True, help="Check the bundle's file sizes only.")
def main(
    bundle: str,
    changes: tuple[Changes, ...],
    out: Path,
    limit: int | None,
    backend: BackendSettings,
    no_verify: bool,
    **folders: Path | None,
) -> None:
    """Run benchmarks with BUNDLE, a folder or "default"; answers and figures go to OUT."""
    opened = open_bundle(None if bundle == DEFAULT else bundle, verify=not no_verify)
    settings = [one.apply(opened.manifest.defaults) for one in changes]
    given = [(one, folders[one.name.replace("-", "_")]) for one in BENCHMARKS]
    groups = [
        _runs(benchmark, folder, opened, settings, out) for benchmark, folder in given if folder
    ]
    if not groups:
        names = ", ".join(f"--{one.name}" for one in BENCHMARKS)
        raise click.UsageError(f"No benchmark is given. Give a folder with {names}.")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    if any(_open(runs, limit) for runs in groups):
        _ask_all(Carve(opened, backend), groups, limit, console)
    figures = [one for runs in groups for run in runs for one in evaluate(run)]
    if figures:
        _write(figures, out / _FIGURES_FILE)
        print_tables(console, figures)


def _runs(
    benchmark: Benchmark, folder: Path, bundle: Bundle, settings: Sequence[Setting], out: Path
) -> list[Run]:
    """Read a benchmark, and the answers of its runs under each setting."""
    questions = benchmark.read(folder)
    require_complete(questions)
    asked, bundle_sum = digest(questions), sha256(bundle.folder / MANIFEST_FILE)
    return [
        Run(
            benchmark,
            setting,
            questions,
            AnswerFile(
                out / benchmark.name / f"{setting.file_name}.jsonl",
                identify(benchmark.name, asked, bundle_sum, setting.settings),
            ),
        )
        for setting in settings
    ]


def _ask_all(
    vlm: Carve, groups: Sequence[Sequence[Run]], limit: int | None, console: Console
) -> None:
    """Ask whatever is open, with a bar for each benchmark."""
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        try:
            for runs in groups:
                bar = progress.add_task(runs[0].benchmark.title, total=_open(runs, limit))
                ask(vlm, runs, limit=limit, on_answer=partial(progress.advance, bar))
        except KeyboardInterrupt:
            console.print("Interrupted. What was answered is kept: the same command goes on.")
            raise SystemExit(_INTERRUPTED) from None


def _open(runs: Sequence[Run], limit: int | None) -> int:
    """Return how many answers are still to be had."""
    chosen = by_image(runs[0].questions, limit).values()
    return sum(len(open_questions(runs, questions)) for questions in chosen)


def _write(figures: Sequence[Figures], path: Path) -> None:
    """Write the figures as JSON, completely or not at all; what is undefined is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    aside.replace(path)


if __name__ == "__main__":
    main()
