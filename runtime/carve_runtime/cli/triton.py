"""``carve-run triton``: a bundle as a model of NVIDIA's Triton Inference Server."""

from __future__ import annotations

from pathlib import Path

import click

from carve_models.cli import HELP, ErrorCommand
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    bundle_folder,
)
from carve_runtime.triton import write_model
from carve_runtime.triton.interface import Instances


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run triton default repository
  carve-run triton my-bundle repository --name vlm --gpu 0 --gpu 1
""",
)
@BUNDLE_ARGUMENT
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--name", default="carve", show_default=True, help="Of the model.")
@click.option(
    "--instances", type=int, default=1, show_default=True, help="Bundles on the CPU or each GPU."
)
@click.option("--gpu", "gpus", type=int, multiple=True, help="Number of a GPU to run on.")
@click.option("--threads", type=int, help="Threads of one graph run on the CPU.")
@REVISION_OPTION
@VERIFY_OPTION
def triton(
    bundle: str,
    out: Path,
    name: str,
    instances: int,
    gpus: tuple[int, ...],
    threads: int | None,
    verify: bool | None,
    revision: str | None,
) -> None:
    """Write BUNDLE into the model repository OUT, for Triton's Python backend.

    carve-vlm has to be installed for the Python that the server runs.
    """
    chosen = Instances(count=instances, gpus=gpus, threads=threads)
    opened = open_bundle(bundle_folder(bundle, revision), verify=verify)
    click.echo(f"saved  {write_model(opened, out, name=name, instances=chosen)}")
