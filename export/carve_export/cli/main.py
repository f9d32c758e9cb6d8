"""``carve-export``: a Hugging Face checkpoint in, a bundle out; ``verify`` compares the two."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import msgspec

from carve_export.cli.engine import engine
from carve_models.cli import HELP, DefaultCommand, ErrorCommand, parse_layers
from carve_models.errors import SettingsError
from carve_models.manifest import OPSETS, Profile, Weights
from carve_runtime.late_import import late_import

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FAMILY = click.option(
    "--family",
    metavar="FILE.py:NAME",
    help="Declaration of a family that this package does not know (docs/families.md).",
)
_TOLERANCE = click.option(
    "--tolerance",
    type=float,
    default=1e-5,
    show_default=True,
    help="Largest difference from PyTorch, relative to the output's scale.",
)


def _precision(*, required: bool) -> Callable[[_Command], _Command]:
    """Return the options that choose lower precision and the questions to measure it with."""
    precision = click.option(
        "--precision",
        "precisions",
        multiple=True,
        required=required,
        metavar="[COMPONENT=]PRECISION",
        help="fp16, bf16, int8, int8-static, int4 or int4-only, for all or for vision_encoder, "
        "embed_tokens, decoder, lm_head.",
    )
    calibration = click.option(
        "--calibration",
        required=required,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help='JSON list of {"image": "photo.jpg", "question": "..."}, images beside it: both '
        "precisions are asked, and compared.",
    )
    return lambda command: precision(calibration(command))


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

\b
The settings file replaces prompts and default settings:
  {"prompts": {"suffix": ""}, "defaults": {"layers": [1], "mask_top_p": 0.03}}
""",
)
@click.argument("checkpoint")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    default="ort",
    show_default=True,
    help="ort: ONNX Runtime's fused attention; portable: standard operators for any runtime.",
)
@click.option(
    "--opset",
    type=click.IntRange(*OPSETS),
    default=OPSETS[0],
    show_default=True,
    help="ONNX operator set.",
)
@click.option(
    "--weights",
    type=click.Choice(get_args(Weights)),
    default="float32",
    show_default=True,
    help="What matrices are stored as; the graphs widen them and compute in float32.",
)
@click.option(
    "--layers",
    callback=parse_layers,
    help='Layers to expose, as "20-25"; by default those of the paper, or a like share.',
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    help="Most pixels that the model sees of an image, where that can be chosen; by default the "
    "paper's limit, or the image processor's.",
)
@click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file, see below.",
)
@_FAMILY
@_TOLERANCE
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not compare with PyTorch, where the model cannot be run here; verify it later.",
)
@_precision(required=False)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is already there.")
@click.version_option(package_name="carve-vlm")
def main(
    checkpoint: str,
    out: Path,
    profile: Profile,
    opset: int,
    weights: Weights,
    layers: tuple[int, ...] | None,
    max_pixels: int | None,
    settings: Path | None,
    family: str | None,
    tolerance: float,
    unchecked: bool,
    precisions: tuple[str, ...],
    calibration: Path | None,
    overwrite: bool,
) -> None:
    """Export CHECKPOINT (folder or hub id) to the bundle OUT.

    The bundle is compared with PyTorch first; a failed or interrupted export leaves nothing at
    OUT. The work is done in a hidden folder beside OUT.
    """
    changes = _read_settings(settings)
    _console().run_export(
        checkpoint,
        out,
        profile=profile,
        opset=opset,
        weights=weights,
        layers=layers,
        max_pixels=max_pixels,
        prompts=changes.prompts,
        defaults=changes.defaults,
        family=family,
        tolerance=tolerance,
        unchecked=unchecked,
        precisions=precisions,
        calibration=calibration,
        overwrite=overwrite,
    )


@click.command(cls=ErrorCommand, context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("questions", nargs=-1, required=True)
def prompt(bundle: Path, out: Path, questions: tuple[str, ...]) -> None:
    """Encode QUESTIONS for the bundle BUNDLE into the JSON file OUT.

    Programs that cannot run the bundle's tokenizer ask them from that file.
    """
    from carve_export.questions import write_questions

    count = write_questions(bundle, questions, out)
    click.echo(f"{out}: {count} texts, the general instruction's included")


main.subcommands["prompt"] = prompt


@click.command("verify", cls=ErrorCommand, context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("checkpoint")
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare on this image; by default on a made-up one.",
)
@_FAMILY
@_TOLERANCE
def verify(
    bundle: Path, checkpoint: str, image: Path | None, family: str | None, tolerance: float
) -> None:
    """Compare BUNDLE once more with the CHECKPOINT that it was made from.

    The prompts for one image and for the pair run in PyTorch and in ONNX Runtime, in one shot and
    in chunks over a cache. Exit code 1 if an output differs by more than the tolerance.
    """
    _console().run_verify(bundle, checkpoint, image=image, family=family, tolerance=tolerance)


main.subcommands["verify"] = verify


main.subcommands["engine"] = engine


@click.command("precision", cls=ErrorCommand, context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@_precision(required=True)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is already there.")
def precision(
    bundle: Path, out: Path, precisions: tuple[str, ...], calibration: Path, overwrite: bool
) -> None:
    """Write BUNDLE, in float32, to OUT in lower precision, and measure what that costs.

    Both bundles answer the questions of the calibration file; how often they agree, and how far
    their masks overlap, is printed and stored in the manifest.
    """
    _console().run_precision(bundle, out, precisions, calibration, overwrite=overwrite)


main.subcommands["precision"] = precision


class _SettingsFile(msgspec.Struct, forbid_unknown_fields=True):
    """What ``--settings`` may hold."""

    prompts: dict[str, str] = {}
    defaults: dict[str, Any] = {}


def _read_settings(path: Path | None) -> _SettingsFile:
    if path is None:
        return _SettingsFile()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_SettingsFile)
    except ValueError as error:
        raise SettingsError(
            f"{path} is not a settings file: {error}", "see the example in carve-export --help"
        ) from error


def _console() -> Any:
    """Import what needs PyTorch, late."""
    # A terminated export cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    remedy = 'install its extra: pip install "carve-vlm[cpu,export]"'
    return late_import("carve_export.cli.console", "the exporter", remedy)
