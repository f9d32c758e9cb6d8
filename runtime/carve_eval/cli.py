r"""Run public benchmarks from local folders with any bundle, and print the paper's tables.

python -m carve_eval default --pope data/pope --vstar data/vstar_bench
python -m carve_eval my-bundle --textvqa data/textvqa --setting "variant=v1" \
    --setting "variant=v4 mask_top_p=0.4" --limit 500

``docs/eval.md`` says how the folders are laid out. The same command again goes on where an
interrupted one stopped, asks nothing that is answered, and prints the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from carve_eval.answers import AnswerFile, identify
from carve_eval.benchmarks import BENCHMARKS
from carve_eval.benchmarks.benchmark import Benchmark
from carve_eval.benchmarks.files import digest, require_complete
from carve_eval.figures import evaluate
from carve_eval.reporting.progress import progress_bars
from carve_eval.reporting.tables import open_console
from carve_eval.runner import Run, ask, by_image, open_questions
from carve_eval.setting import DEFAULT, Changes, Setting, parse_changes
from carve_eval.tables import tables
from carve_models.cli import ErrorCommand
from carve_models.names import MANIFEST_FILE
from carve_models.replacing import write_json
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle, sha256
from carve_runtime.carve import Carve
from carve_runtime.cli.backend_options import VERIFY_OPTION, backend_options

_FIGURES_FILE = "figures.json"
_INTERRUPTED = 130


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
@VERIFY_OPTION
def main(
    bundle: str,
    changes: tuple[Changes, ...],
    out: Path,
    limit: int | None,
    backend: BackendSettings,
    verify: bool | None,
    **folders: Path | None,
) -> None:
    """Run benchmarks with BUNDLE, a folder or "default"; answers and figures go to OUT."""
    opened = open_bundle(None if bundle == DEFAULT else bundle, verify=verify)
    settings = [change.apply(opened.manifest.defaults) for change in changes]
    given = [(benchmark, folders[benchmark.name.replace("-", "_")]) for benchmark in BENCHMARKS]
    groups = [
        _runs(benchmark, folder, opened, settings, out) for benchmark, folder in given if folder
    ]
    if not groups:
        names = ", ".join(f"--{benchmark.name}" for benchmark in BENCHMARKS)
        raise click.UsageError(f"No benchmark is given. Give a folder with {names}.")
    console = open_console()
    if any(_open(runs, limit) for runs in groups):
        _ask_all(Carve(opened, backend), groups, limit, console)
    figures = [row for runs in groups for run in runs for row in evaluate(run)]
    if figures:
        write_json(out / _FIGURES_FILE, figures)  # what is undefined is null
        for table in tables(figures):
            table.show(console)


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
    with progress_bars(console) as bars:
        try:
            for runs in groups:
                bar = bars.add_task(runs[0].benchmark.title, total=_open(runs, limit))
                ask(vlm, runs, limit=limit, on_answer=partial(bars.advance, bar))
        except KeyboardInterrupt:
            console.print("Interrupted. What was answered is kept: the same command goes on.")
            raise SystemExit(_INTERRUPTED) from None


def _open(runs: Sequence[Run], limit: int | None) -> int:
    """Return how many answers are still to be had."""
    chosen = by_image(runs[0].questions, limit).values()
    return sum(len(open_questions(runs, questions)) for questions in chosen)


if __name__ == "__main__":
    main()
