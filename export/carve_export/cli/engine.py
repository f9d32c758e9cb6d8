"""``carve-export engine``: a bundle in, TensorRT engines out."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from carve_export.cli.extras import load_builder
from carve_export.cli.options import (
    BUNDLE_ARGUMENT,
    OUT_ARGUMENT,
    choice_option,
    overwrite_option,
)
from carve_models.cli import HELP, ErrorCommand
from carve_models.engines import EnginePrecision, Target


@click.command(
    "engine",
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-export engine ./bundle ./engines --target tensorrt_rtx --compute-capability 8.9
  carve-export engine ./bundle ./engines --target tensorrt --precision fp16 --timing-cache cache
  carve-export engine ./bundle ./engines --target tensorrt --range batch_size=1:1:4
""",
)
@BUNDLE_ARGUMENT
@OUT_ARGUMENT
@choice_option(
    "--target",
    Target,
    "tensorrt: for the GPU of this machine; tensorrt_rtx: for named GPUs, without one.",
)
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    metavar="X.Y",
    help="GPU to build for, with tensorrt_rtx; repeat for several.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(EnginePrecision)),
    help="Of matrix products and convolutions; norms, softmax and the tap are fp32. By default the "
    "bundle's own: fp32, or half if it was exported with --dtype.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=SMALL:USUAL:LARGE",
    help="Sizes of a dimension; by default those that the bundle's images and context need.",
)
@click.option("--graph", "graphs", multiple=True, help="Build this graph only; may be repeated.")
@click.option(
    "--timing-cache",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that remembers the fastest kernels, with tensorrt.",
)
@click.option("--strip-weights", is_flag=True, help="Leave the weights out of the engines.")
@overwrite_option("engines that are")
def engine(
    bundle: Path,
    out: Path,
    target: Target,
    capabilities: tuple[str, ...],
    precision: EnginePrecision | None,
    ranges: tuple[str, ...],
    graphs: tuple[str, ...],
    timing_cache: Path | None,
    strip_weights: bool,
    overwrite: bool,
) -> None:
    """Build engines of the graphs of BUNDLE, of the profile portable, into the folder OUT."""
    load_builder()
    from rich.console import Console

    from carve_export.cli.engine_report import build_progress, engine_table
    from carve_export.tensorrt.build import EngineOptions, build_engines
    from carve_export.tensorrt.builder import BuildOptions

    options = EngineOptions(
        target=target,
        build=BuildOptions(
            compute_capabilities=capabilities, stripped=strip_weights, timing_cache=timing_cache
        ),
        precision=precision,
        graphs=graphs,
        ranges=ranges,
        overwrite=overwrite,
    )
    console = Console()
    with build_progress(console) as (on_graph, on_progress):
        manifest = build_engines(bundle, out, options, on_graph=on_graph, on_progress=on_progress)
    console.print(engine_table(manifest))
    console.print(f"{out}: {len(manifest.engines)} engines", highlight=False)
