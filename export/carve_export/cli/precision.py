"""``carve-export precision``: a bundle in, one in lower precision out."""

from __future__ import annotations

from pathlib import Path

import click

from carve_export.cli.extras import load_exporter
from carve_export.cli.options import (
    BUNDLE_ARGUMENT,
    OUT_ARGUMENT,
    overwrite_option,
    precision_options,
)
from carve_models.cli import HELP, ErrorCommand


@click.command("precision", cls=ErrorCommand, context_settings=HELP)
@BUNDLE_ARGUMENT
@OUT_ARGUMENT
@precision_options(required=True)
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not ask the questions, for a model that this machine cannot run in full: weights are "
    "rounded with the questions' prompts alone, and nothing is measured.",
)
@overwrite_option("a bundle that is")
def precision(
    bundle: Path,
    out: Path,
    precisions: tuple[str, ...],
    calibration: Path | None,
    unchecked: bool,
    overwrite: bool,
) -> None:
    """Write BUNDLE to OUT in lower precision, and measure what that costs.

    Both bundles answer the questions of the calibration file; how often they agree, and how far
    their masks overlap, is printed and stored in the manifest.
    """
    load_exporter()
    from rich.console import Console

    from carve_export.cli.report import quality_table, stages
    from carve_export.precision.quality import LowerOptions, lower_bundle

    options = LowerOptions(
        precisions=precisions, calibration=calibration, unchecked=unchecked, overwrite=overwrite
    )
    console = Console()
    with stages(console) as on_stage:
        manifest = lower_bundle(bundle, out, options, on_stage=on_stage)
    if manifest.quality is not None:
        console.print(quality_table(manifest.quality))
    console.print(f"{out} is written", highlight=False)
