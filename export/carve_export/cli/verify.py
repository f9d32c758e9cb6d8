"""``carve-export verify``: a bundle against the checkpoint that it was made from."""

from __future__ import annotations

from pathlib import Path

import click

from carve_export.checkpoint.source import require_source
from carve_export.cli.extras import load_exporter
from carve_export.cli.options import (
    BUNDLE_ARGUMENT,
    FAMILY_OPTION,
    MARGIN_OPTION,
    file_option,
)
from carve_models.cli import HELP, ErrorCommand


@click.command("verify", cls=ErrorCommand, context_settings=HELP)
@BUNDLE_ARGUMENT
@click.argument("checkpoint")
@file_option("--image", "Compare on this image; by default on a made-up one.")
@FAMILY_OPTION
@MARGIN_OPTION
def verify(
    bundle: Path, checkpoint: str, image: Path | None, family: str | None, margin: float | None
) -> None:
    """Compare BUNDLE once more with the CHECKPOINT that it was made from.

    The prompts for one image and for the pair run in PyTorch and in ONNX Runtime, in one shot and
    in chunks over a cache. Exit code 1 if an output is farther from PyTorch's in float64 than
    rounding explains.
    """
    require_source(checkpoint)  # before the imports, which take seconds
    load_exporter()
    from rich.console import Console

    from carve_export.check.parity import require_parity
    from carve_export.check.verify import VerifyOptions, verify_bundle
    from carve_export.cli.report import comparison_table, stages

    options, console = VerifyOptions(image=image, family=family, margin=margin), Console()
    with stages(console) as on_stage:
        comparisons = verify_bundle(bundle, checkpoint, options, on_stage=on_stage)
    console.print(comparison_table(comparisons))
    require_parity(comparisons)
    console.print(f"{bundle} reproduces {checkpoint}", highlight=False)
