"""``carve-export engine``: a bundle in, TensorRT engines out."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from carve_models.cli import HELP, ErrorCommand
from carve_models.engines import EnginePrecision, Target
from carve_runtime.late_import import late_import


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
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--target",
    type=click.Choice(get_args(Target)),
    required=True,
    help="tensorrt: for the GPU of this machine; tensorrt_rtx: for named GPUs, without one.",
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
    default="fp32",
    show_default=True,
    help="Of matrix products and convolutions; norms, softmax and the tap are fp32.",
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
@click.option("--overwrite", is_flag=True, help="Replace engines that are already there.")
def engine(
    bundle: Path,
    out: Path,
    target: Target,
    capabilities: tuple[str, ...],
    precision: EnginePrecision,
    ranges: tuple[str, ...],
    graphs: tuple[str, ...],
    timing_cache: Path | None,
    strip_weights: bool,
    overwrite: bool,
) -> None:
    """Build engines of the graphs of BUNDLE, of the profile portable, into the folder OUT."""
    remedy = 'install its extra: pip install "carve-vlm[engines]"'
    console = late_import("carve_export.cli.engine_console", "the builder", remedy)
    build = {
        "compute_capabilities": capabilities,
        "stripped": strip_weights,
        "timing_cache": timing_cache,
    }
    console.run_engine(
        bundle,
        out,
        build,
        target=target,
        precision=precision,
        graphs=graphs,
        ranges=ranges,
        overwrite=overwrite,
    )
