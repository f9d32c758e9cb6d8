"""``carve-eval``: benchmarks and labelled questions of your own, with any bundle.

``docs/eval.md`` says how files and folders are laid out. The same command again goes on where an
interrupted one stopped, asks nothing that is answered, and prints the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from carve_eval.answers import AnswerFile, identify
from carve_eval.benchmarks import BENCHMARKS
from carve_eval.benchmarks.benchmark import Benchmark
from carve_eval.benchmarks.files import digest, require_complete
from carve_eval.rows import require_format
from carve_eval.runner import Run
from carve_eval.setting import DEFAULT, Changes, Setting, parse_changes
from carve_eval.thresholds import require_writable
from carve_models.cli import HELP, ErrorCommand
from carve_models.manifest import Manifest
from carve_models.settings import Settings
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.late_import import late_import

#: Not "cpu" too: onnxruntime would overwrite onnxruntime-gpu.
_REMEDY = 'install its extra: pip install "carve-vlm[eval]"'


def _benchmark_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for the folder or file of each benchmark."""
    for benchmark in reversed(BENCHMARKS):
        is_file = benchmark.is_file
        command = click.option(
            f"--{benchmark.name}",
            type=click.Path(path_type=Path, exists=True, file_okay=is_file, dir_okay=not is_file),
            help=f"{'File' if is_file else 'Folder'} of {benchmark.title}.",
        )(command)
    return command


@click.command(
    cls=ErrorCommand,
    context_settings=HELP | {"show_default": True},
    epilog="""\b
Examples:
  carve-eval default --jsonl questions.jsonl --rows answers.csv
  carve-eval my-bundle --pope data/pope --vstar data/vstar_bench --limit 500
  carve-eval my-bundle --textvqa data/textvqa --setting default \\
      --setting "variant=v4 mask_top_p=0.4" --setting "crop=square method=relative layers=14"
  carve-eval my-bundle --jsonl questions.jsonl --calibrate-adaptive
""",
)
@click.version_option(package_name="carve-vlm")
@BUNDLE_ARGUMENT
@_benchmark_options
@click.option(
    "--setting",
    "changes",
    multiple=True,
    default=[DEFAULT],
    callback=parse_changes,
    help='Changes to the bundle\'s settings, as "variant=v4 mask_top_p=0.4", or a baseline, as '
    '"crop=square method=relative layers=14"; repeat to compare with the first.',
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/eval"))
@click.option("--limit", type=click.IntRange(min=0), help="Most questions of each benchmark.")
@click.option(
    "--rows",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every question with its right answers, answers and scores: a .jsonl or .csv file.",
)
@click.option(
    "--calibrate-adaptive",
    is_flag=True,
    help="Write the thresholds of --adaptive into BUNDLE, chosen from these questions.",
)
@backend_options
@REVISION_OPTION
@VERIFY_OPTION
def main(
    bundle: str,
    changes: tuple[Changes, ...],
    out: Path,
    limit: int | None,
    rows: tuple[Path, ...],
    calibrate_adaptive: bool,
    backend: BackendSettings,
    verify: bool | None,
    revision: str | None,
    **places: Path | None,
) -> None:
    """Ask BUNDLE, a folder or "default", labelled questions; answers and figures go to OUT."""
    for path in rows:
        require_format(path)
    folder = bundle_folder(bundle, revision)
    opened = open_bundle(folder, verify=verify)
    settings = [change.apply(opened.manifest.defaults) for change in changes]
    if calibrate_adaptive:
        _require_calibrating(folder, settings, opened.manifest.defaults)
    given = [(benchmark, places[benchmark.name.replace("-", "_")]) for benchmark in BENCHMARKS]
    groups = [
        _runs(benchmark, place, opened.manifest, settings, out)
        for benchmark, place in given
        if place
    ]
    if not groups:
        names = ", ".join(f"--{benchmark.name}" for benchmark in BENCHMARKS)
        raise click.UsageError(f"No questions are given. Name them with {names}.")
    evaluation = late_import("carve_eval.evaluation", "the evaluation", _REMEDY)
    evaluation.run(
        opened, backend, groups, limit=limit, out=out, rows=rows, calibrate=calibrate_adaptive
    )


def _runs(
    benchmark: Benchmark, place: Path, manifest: Manifest, settings: Sequence[Setting], out: Path
) -> list[Run]:
    """Read a benchmark, and the answers of its runs under each setting."""
    questions = benchmark.read(place)
    require_complete(questions, benchmark.remedy)
    asked = digest(questions)
    return [
        Run(
            benchmark,
            setting,
            questions,
            AnswerFile(
                out / benchmark.name / f"{setting.file_name}.jsonl",
                identify(benchmark.name, asked, manifest, setting.crop, setting.settings),
            ),
        )
        for setting in settings
    ]


def _require_calibrating(
    folder: Path | None, settings: Sequence[Setting], defaults: Settings
) -> None:
    """Refuse to calibrate what cannot be written, or without the answers that it takes."""
    if folder is None:
        raise click.UsageError(
            f'"{DEFAULT}" belongs to the installation, and --calibrate-adaptive would change it. '
            "Copy the folder that carve-run info names, and calibrate the copy."
        )
    require_writable(folder)
    if not any(setting.is_usual(defaults) for setting in settings):
        missing = "adaptive=false" if defaults.adaptive else DEFAULT
        raise click.UsageError(
            "--calibrate-adaptive judges CARVE with the bundle's own settings. Add --setting "
            f"{missing}."
        )


if __name__ == "__main__":
    main()
