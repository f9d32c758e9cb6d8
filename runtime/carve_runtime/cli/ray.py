"""``carve-run ray``: files of questions, answered on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from carve_models.cli import HELP, ErrorCommand
from carve_models.replacing import require_vacant
from carve_models.settings import SettingsChanges
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.batch import AnswerOptions
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.cli.options.settings import PLAIN_OPTION, settings_options
from carve_runtime.ray_data import Pool, ask_dataset, write_answers
from carve_runtime.ray_data.cluster import connected
from carve_runtime.ray_data.files import FORMATS, Questions


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run ray default questions.jsonl -o answers --actors 2
  carve-run ray my-bundle questions.parquet -o answers --actors 8 --gpus 1 --provider cuda
""",
)
@BUNDLE_ARGUMENT
@click.argument("questions", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the answers."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(FORMATS)),
    default="parquet",
    show_default=True,
    help="Of the answers.",
)
@click.option("--pictures", type=click.Path(path_type=Path), help="Where their paths start.")
@click.option("--address", help="Of a running cluster; without, one is started here.")
@click.option("--actors", type=int, default=2, show_default=True, help="Bundles that answer.")
@click.option("--cpus", type=float, default=1, show_default=True, help="Cores of each.")
@click.option("--gpus", type=float, default=0, show_default=True, help="GPUs of each.")
@click.option(
    "--batch-size", type=int, default=32, show_default=True, help="Questions given to one at once."
)
@settings_options
@backend_options
@PLAIN_OPTION
@REVISION_OPTION
@VERIFY_OPTION
def ray(
    bundle: str,
    questions: Path,
    out: Path,
    kind: str,
    pictures: Path | None,
    address: str | None,
    actors: int,
    cpus: float,
    gpus: float,
    batch_size: int,
    settings: dict[str, Any],
    backend: BackendSettings,
    plain: bool,
    verify: bool | None,
    revision: str | None,
) -> None:
    """Answer the questions of INPUT on a Ray cluster with BUNDLE, plainly and through CARVE.

    INPUT is Parquet or JSON Lines, a file or a folder of them, with the columns "image" (paths, or
    in Parquet encoded bytes) and "question"; others are kept. Paths start at INPUT's folder. All
    machines of the cluster see the bundle, the pictures and the folder of answers at these paths.
    """
    pool = Pool(actors=actors, num_cpus=cpus, num_gpus=gpus, batch_size=batch_size)
    pool.require_fitting(backend)
    options = AnswerOptions(
        plain=plain, variant=settings.pop("variant"), settings=cast(SettingsChanges, settings)
    )
    found = Questions.find(questions)
    require_vacant(out)
    opened = open_bundle(bundle_folder(bundle, revision), verify=verify)
    opened.manifest.defaults.override(variant=options.variant, **settings)  # wrong ones end here
    with connected(address, pool):
        answers = ask_dataset(
            found.read(),
            opened.folder.absolute(),
            pool=pool,
            options=options,
            backend=backend,
            pictures=(pictures or found.folder).absolute(),
        )
        write_answers(answers, out, kind)
    click.echo(f"saved  {out}")
