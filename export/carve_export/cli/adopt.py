"""``carve-export adopt``: a bundle of the graphs of transformers.js."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from carve_export.cli.extras import load_adopt
from carve_export.cli.options import FAMILY_OPTION, OUT_ARGUMENT, file_option, overwrite_option
from carve_export.cli.settings_file import read_settings
from carve_export.cli.tap import say_tap
from carve_models.cli import HELP, ErrorCommand, parse_layers_or_all
from carve_models.manifest import Profile
from carve_models.settings import All

if TYPE_CHECKING:
    from carve_export.adopt import AdoptReport


@click.command(
    "adopt",
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-export adopt ./SmolVLM-256M-Instruct ./bundle
  carve-export adopt ./SmolVLM-256M-Instruct ./bundle --dtype q4 --dtype embed_tokens=fp32
  carve-export adopt ./SmolVLM-256M-Instruct ./bundle --layers all --settings settings.json
""",
)
@click.argument("folder", type=click.Path(path_type=Path))
@OUT_ARGUMENT
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="[GRAPH=]TYPE",
    help="Which files to take, as transformers.js calls them: fp32 (by default), fp16, q8, int8, "
    "uint8, q4, q4f16 or bnb4, for all or for vision_encoder, embed_tokens, decoder_model_merged.",
)
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    help="ort: the decoder appends to its cache in place; portable: it returns a longer one.  "
    "[default: ort if all its layers use GroupQueryAttention]",
)
@click.option(
    "--layers",
    callback=parse_layers_or_all,
    help='Layers to expose, as "20-25", or "all"; by default those of the paper, or a like share.',
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Most pixels that the model sees of an image, where that can be chosen.",
)
@file_option("--settings", "JSON file with prompts and default settings, as of carve-export.")
@FAMILY_OPTION
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not run the graphs, where they cannot be run on this CPU.",
)
@overwrite_option("a bundle that is")
def adopt(
    folder: Path,
    out: Path,
    dtypes: tuple[str, ...],
    profile: Profile | None,
    layers: tuple[int, ...] | All | None,
    max_pixels: int | None,
    settings: Path | None,
    family: str | None,
    unchecked: bool,
    overwrite: bool,
) -> None:
    """Make the bundle OUT of FOLDER, a model as transformers.js reads it.

    Its graphs and weights are kept: the decoder returns its attention too, and inputs and outputs
    become those of a bundle. No checkpoint is needed. All graphs are run as they were and as they
    are, and compared, first.
    """
    changes = read_settings(settings)
    load_adopt()
    from rich.console import Console

    from carve_export.adopt import AdoptOptions, adopt_folder
    from carve_export.cli.report import stages

    options = AdoptOptions(
        dtypes=dtypes,
        profile=profile,
        layers=layers,
        max_pixels=max_pixels,
        prompts=changes.prompts,
        defaults=changes.defaults,
        family=family,
        unchecked=unchecked,
        overwrite=overwrite,
    )
    with stages(Console(stderr=True)) as on_stage:
        report = adopt_folder(folder, out, options, on_stage=on_stage)
    _say(report)


def _say(report: AdoptReport) -> None:
    from carve_export.cli.report import next_step, size_of

    say_tap(report.tap)
    for name, changes in report.changes.items():
        click.echo(f"{name}: {'; '.join(changes) or 'as it was'}")
    for name in report.changes:
        errors = [each.error for each in report.differences if each.graph == name]
        if errors:
            click.echo(f"{name}: results within {max(errors):.0e} of the largest")
    click.echo(size_of(report.folder, report.manifest))
    click.echo(next_step(report.folder))
