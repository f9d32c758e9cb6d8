"""``carve-export CHECKPOINT OUT``: a Hugging Face checkpoint in, a bundle out."""

from __future__ import annotations

from pathlib import Path

import click

from carve_export.checkpoint.source import require_source
from carve_export.cli.extras import load_exporter
from carve_export.cli.options import (
    FAMILY_OPTION,
    MARGIN_OPTION,
    OUT_ARGUMENT,
    choice_option,
    file_option,
    overwrite_option,
    precision_options,
)
from carve_export.cli.push import push_and_say, push_options
from carve_export.cli.settings_file import read_settings
from carve_export.hub.licence import stated_licence
from carve_export.hub.push import PushOptions, hub_name, require_login
from carve_models.cli import HELP, DefaultCommand, parse_layers_or_all
from carve_models.errors import SettingsError
from carve_models.graph_spec import Dtype
from carve_models.manifest import OPSETS, AttentionRows, Profile, Weights
from carve_models.settings import All
from carve_runtime.hub import HubName


@click.command(
    cls=DefaultCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-export llava-hf/llava-1.5-7b-hf llava-bundle
  carve-export ./checkpoint ./bundle --profile portable --layers 20-25
  carve-export ./checkpoint ./bundle --settings settings.json --overwrite
  carve-export ./checkpoint ./small --precision int8 --calibration questions.json
  carve-export verify ./bundle ./checkpoint --image photo.jpg
  carve-export prompt ./bundle questions.json "Is there a dog?"   (see prompt --help)
  carve-export engine ./bundle ./engines --target tensorrt        (see engine --help)
  carve-export precision ./bundle ./small --precision int8 ...    (see precision --help)
  carve-export push ./bundle someone/my-bundle                    (see push --help)
  carve-export tap model.onnx tapped/model.onnx                   (see tap --help)
  carve-export adopt ./SmolVLM-256M-Instruct ./bundle             (see adopt --help)

\b
The settings file replaces prompts and default settings:
  {"prompts": {"suffix": ""}, "defaults": {"layers": [1], "mask_top_p": 0.03}}
""",
)
@click.argument("checkpoint")
@OUT_ARGUMENT
@choice_option(
    "--profile",
    Profile,
    "ort: ONNX Runtime's fused attention; portable: standard operators for any runtime.",
    default="ort",
)
@click.option(
    "--opset",
    type=click.IntRange(*OPSETS),
    default=OPSETS[0],
    show_default=True,
    help="ONNX operator set.",
)
@choice_option(
    "--dtype",
    Dtype,
    "What the bundle computes in: half precision for GPUs.",
    default="float32",
)
@choice_option(
    "--weights",
    Weights,
    "What matrices are stored as; graphs widen them and compute in float32: less memory on CPUs.",
    default="float32",
)
@click.option(
    "--layers",
    callback=parse_layers_or_all,
    help='Layers to expose, as "20-25", or "all"; by default those of the paper, or a like share.',
)
@choice_option(
    "--attention",
    AttentionRows,
    "Rows of attention to expose for each layer: the mean over heads, or one for each head.",
    default="mean",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Most pixels that the model sees of an image, where that can be chosen; by default the "
    "paper's limit, or the image processor's.",
)
@file_option("--settings", "JSON file, see below.")
@FAMILY_OPTION
@MARGIN_OPTION
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not compare with PyTorch, nor measure lower precision, where the model cannot be run "
    "here; verify it later.",
)
@precision_options(required=False)
@overwrite_option("a bundle that is")
@click.option(
    "--push",
    metavar="OWNER/NAME",
    help="Upload the bundle to this repository of the hub, once it was compared with PyTorch.",
)
@push_options
@click.version_option(package_name="carve-vlm")
def export(
    checkpoint: str,
    out: Path,
    profile: Profile,
    opset: int,
    dtype: Dtype,
    weights: Weights,
    layers: tuple[int, ...] | All | None,
    attention: AttentionRows,
    max_pixels: int | None,
    settings: Path | None,
    family: str | None,
    margin: float | None,
    unchecked: bool,
    precisions: tuple[str, ...],
    calibration: Path | None,
    overwrite: bool,
    push: str | None,
    licence: str | None,
    private: bool | None,
) -> None:
    """Export CHECKPOINT (folder or hub id) to the bundle OUT.

    The bundle is compared with PyTorch first; a failed or interrupted export leaves nothing at
    OUT. The work is done in a hidden folder beside OUT.
    """
    changes = read_settings(settings)
    require_source(checkpoint)  # before the imports, which take seconds
    pushed = _prepare_push(checkpoint, push, licence, private, unchecked=unchecked)
    load_exporter()
    from rich.console import Console

    from carve_export.cli.report import print_export, stages
    from carve_export.exporter import export_bundle
    from carve_export.options import ExportOptions

    options = ExportOptions(
        profile=profile,
        opset=opset,
        dtype=dtype,
        weights=weights,
        layers=layers,
        attention=attention,
        max_pixels=max_pixels,
        prompts=changes.prompts,
        defaults=changes.defaults,
        family=family,
        margin=margin,
        unchecked=unchecked,
        precisions=precisions,
        calibration=calibration,
        overwrite=overwrite,
    )
    console = Console()
    with stages(console) as on_stage:
        report = export_bundle(checkpoint, out, options, on_stage=on_stage)
    print_export(console, report)
    if pushed is not None:
        push_and_say(out, *pushed)


def _prepare_push(
    checkpoint: str, push: str | None, licence: str | None, private: bool | None, *, unchecked: bool
) -> tuple[HubName, PushOptions] | None:
    """Refuse, before the long part, what could not be pushed after it."""
    if push is None:
        if licence is not None or private is not None:
            raise click.UsageError("--licence and --private are for a bundle that is pushed.")
        return None
    if unchecked:
        raise SettingsError(
            "a bundle that was not compared with PyTorch is not pushed",
            "leave --unchecked out, or run carve-export verify and carve-export push afterwards",
        )
    place, folder = hub_name(push), Path(checkpoint)
    require_login(place)
    known = folder if folder.is_dir() else None
    return place, PushOptions(
        licence=stated_licence(licence, checkpoint, folder=known), private=private
    )
