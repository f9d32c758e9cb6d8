"""``carve-export tap``: the attention of a decoder that another exporter wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from carve_export.cli.extras import load_tap
from carve_export.cli.options import OUT_ARGUMENT, overwrite_option
from carve_models.cli import HELP, ErrorCommand, parse_layers_or_all
from carve_models.settings import ALL, All

if TYPE_CHECKING:
    from carve_export.tap import TapReport


@click.command(
    "tap",
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-export tap genai/model.onnx tapped/model.onnx
  carve-export tap onnx/decoder_model_merged_q4.onnx onnx/tapped.onnx --layers 8-15
""",
)
@click.argument("decoder", metavar="DECODER.onnx", type=click.Path(path_type=Path))
@OUT_ARGUMENT
@click.option(
    "--layers",
    callback=parse_layers_or_all,
    default=ALL,
    show_default=True,
    help='Layers whose attention is returned, as "20-25" or "3,5".',
)
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not run the graphs, where they cannot be run on this CPU.",
)
@overwrite_option("a graph that is")
def tap(
    decoder: Path, out: Path, layers: tuple[int, ...] | All, unchecked: bool, overwrite: bool
) -> None:
    """Write DECODER.onnx to the file OUT with one more output: the attention of its last position.

    The decoder is one of ONNX Runtime GenAI's builder, of Optimum or of transformers.js, with a
    cache. Both graphs are run and compared first; OUT is complete or not there.
    """
    load_tap()
    from carve_export.tap import TapOptions, tap_decoder

    options = TapOptions(layers=layers, overwrite=overwrite, unchecked=unchecked)
    say_tap(tap_decoder(decoder, out, options))


def say_tap(report: TapReport) -> None:
    """Print what was added to a decoder, and what the comparison found."""
    operators = ", ".join(f"{count} {name}" for name, count in report.operators.items())
    layers = ", ".join(map(str, report.layers))
    click.echo(f"{report.path}: {report.added} nodes added to {report.nodes}")
    click.echo(f"decoder_attentions.last_row: layers {layers} of {report.depth} ({operators})")
    if report.check is None:
        click.echo("not compared with the graph as it was")
        return
    click.echo(f"logits and cache: {report.check.results}")
    click.echo(f"rows: sums within {report.check.sum_error:.0e} of 1{_beside_own(report)}")


def _beside_own(report: TapReport) -> str:
    assert report.check is not None
    error = report.check.row_error
    return "" if error is None else f", within {error:.0e} of the operators' own attention"
