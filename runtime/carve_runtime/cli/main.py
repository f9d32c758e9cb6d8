"""``carve-run``: ask, look into a bundle, check the installation."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, get_args

import click

from carve_models.cli import HELP, ErrorGroup, parse_layers
from carve_models.errors import SettingsError
from carve_models.settings import (
    AUTO,
    VARIANTS,
    Contrast,
    FinalPrompt,
    Geometry,
    Rule,
    Steps,
    Strategy,
)
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.carve import Carve
from carve_runtime.cli.backend_options import session_options
from carve_runtime.cli.doctor import examine
from carve_runtime.cli.info import describe
from carve_runtime.memory import memory_budget, spell_budget
from carve_runtime.pictures import draw_result, save_picture, save_pictures
from carve_runtime.prompt.request import Token
from carve_runtime.result import CarveResult, PlainResult

_DEFAULT = "default"
_PICTURE_FORMATS = (".png", ".jpg", ".jpeg", ".webp")


_FLOAT = click.types.convert_type(float)


def _number_or_auto(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | str | None:
    """Take a number or the word "auto"."""
    return value if value in (None, AUTO) else _FLOAT.convert(value, parameter, context)


#: Options that take a number or "auto".
_AUTO: dict[str, Any] = {"callback": _number_or_auto, "metavar": f"FLOAT|{AUTO}"}


@click.group(
    cls=ErrorGroup,
    context_settings=HELP,
    epilog="""\b
Example:
  carve-run ask default photo.jpg "What letter is on the red square?"
""",
)
@click.version_option(package_name="carve-vlm")
def main() -> None:
    """Ask a vision-language model about the part of a picture that the question points to."""


@main.command(
    epilog="""\b
Examples:
  carve-run ask default photo.jpg "What letter is on the red square?"
  carve-run ask my-bundle photo.jpg "What does the sign say?" --save-dir out
  carve-run ask my-bundle photo.jpg "Is there a dog?" "Is there a cat?"
  carve-run ask my-bundle photo.jpg "Is there a dog?" --variant v1 --mask-top-p 0.4 --json
"""
)
@click.argument("bundle")
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("questions", nargs=-1, required=True, metavar="QUESTION...")
@click.option("--variant", type=click.Choice(list(VARIANTS)), help="The released code's variants.")
@click.option("--steps", type=click.Choice(get_args(Steps)), help="Forward steps that are fused.")
@click.option("--layers", callback=parse_layers, help='Decoder layers, as "20-25" or "3,5".')
@click.option("--mask-top-p", **_AUTO, help="Share of pixels that the threshold keeps.")
@click.option("--max-regions", type=int, help="Regions kept.")
@click.option("--strategy", type=click.Choice(get_args(Strategy)), help="How regions are ranked.")
@click.option("--rule", type=click.Choice(get_args(Rule)), help="How many regions are kept.")
@click.option("--outlier-percent", type=float, help="Smallest region for remove_small, in percent.")
@click.option("--contrast", type=click.Choice(get_args(Contrast)), help="Whether to contrast.")
@click.option("--regularizer", **_AUTO, help="Lambda of the contrast.")
@click.option("--geometry", type=click.Choice(get_args(Geometry)), help="Where the grid lies.")
@click.option("--final-prompt", type=click.Choice(get_args(FinalPrompt)), help="The final pass.")
@click.option("--max-new-tokens", type=int, help="Most forward steps of each pass.")
@click.option("--max-refined-pixels", type=int, help="Most pixels of the refined image.")
@click.option("--scout-pixels", type=int, help="Most pixels that the attention passes see.")
@click.option("--final-pixels", type=int, help="Most pixels that the final pass sees of the crop.")
@click.option("--early-exit", is_flag=True, default=None, help="Do without the plain answer.")
@click.option("--adaptive", is_flag=True, default=None, help="Keep plain answers that are sure.")
@click.option("--sure-probability", type=float, help="Least probability, for --adaptive.")
@click.option("--focused-entropy", type=float, help="Largest entropy, for --adaptive.")
@session_options
@click.option("--plain", is_flag=True, help="Give the plain answer alone.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the overview picture here.")
@click.option("--save-dir", type=click.Path(path_type=Path), help="Write every picture here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-verify", is_flag=True, help="Check the bundle's file sizes only.")
def ask(
    bundle: str,
    image: Path,
    questions: tuple[str, ...],
    session: BackendSettings,
    plain: bool,
    picture: Path | None,
    save_dir: Path | None,
    as_json: bool,
    no_verify: bool,
    **settings: Any,
) -> None:
    """Answer each QUESTION about IMAGE with BUNDLE, plainly and through CARVE.

    BUNDLE is a folder that carve-export wrote, or "default" for the one that ships with the
    package. What depends on the image alone is computed once for all questions. Settings that are
    not given come from the bundle.
    """
    if plain:
        _require_unused(picture=picture, save_dir=save_dir, **settings | {"max_new_tokens": None})
    _require_one(questions, picture=picture, save_dir=save_dir)
    _require_writable(picture, save_dir)
    vlm = Carve(open_bundle(_folder(bundle), verify=not no_verify), session)
    reports = []
    for question in questions:
        if len(questions) > 1 and not as_json:
            click.echo(question)
        with _Printer(quiet=as_json) as show:
            if plain:
                limit = settings["max_new_tokens"]
                answer = vlm.plain(image, question, max_new_tokens=limit, on_token=show)
                fields = _plain_fields(answer)
            else:
                result = vlm.ask(image, question, on_token=show, **settings)
                fields = _carve_fields(result)
                fields["saved"] = _save(result, question, picture, save_dir)
        if not as_json:
            _report(fields)
        reports.append(fields)
    if as_json:
        click.echo(json.dumps(reports if len(questions) > 1 else reports[0], indent=2))


@main.command(epilog="\b\nExamples:\n  carve-run info default\n  carve-run info default --memory")
@click.argument("bundle")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--memory", "memory", is_flag=True, help="Print the memory that it needs instead.")
def info(bundle: str, as_json: bool, memory: bool) -> None:
    """Print what BUNDLE is: family, graphs, image rule, prompts, default settings."""
    opened = open_bundle(_folder(bundle))
    if not memory:
        click.echo(describe(opened, as_json=as_json))
        return
    budget = memory_budget(opened.manifest)
    click.echo(json.dumps(budget, indent=2) if as_json else spell_budget(budget))


@main.command(epilog="\b\nExample:\n  carve-run doctor")
def doctor() -> None:
    """Check the installation: backends, their providers and devices, the default bundle."""
    healthy, lines = examine()
    click.echo("\n".join(lines))
    sys.exit(0 if healthy else 1)


_TITLES = {"question": "plain  ", "final": "CARVE  "}


class _Printer:
    """Prints each answer behind its name while it is generated."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage = ""

    def __enter__(self) -> _Printer:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def __call__(self, token: Token) -> None:
        if self._quiet or token.stage not in _TITLES:
            return
        if token.stage != self._stage:
            self._end_line()
            self._stage = token.stage
            click.echo(_TITLES[token.stage], nl=False)
            token = token._replace(text=token.text.lstrip())
        click.echo(token.text, nl=False)
        sys.stdout.flush()

    def _end_line(self) -> None:
        if self._stage:
            click.echo()


def _require_unused(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        flag = given[0].replace("_", "-")
        raise click.UsageError(f"--{flag} says how CARVE works; it does nothing with --plain.")


def _require_one(questions: tuple[str, ...], **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given and len(questions) > 1:
        flag = given[0].replace("_", "-")
        raise click.UsageError(f"--{flag} shows one question; {len(questions)} were given.")


def _save(
    result: CarveResult, question: str, picture: Path | None, save_dir: Path | None
) -> list[str]:
    """Write the pictures that were asked for and return their paths."""
    saved = []
    if picture is not None:
        saved.append(save_picture(draw_result(result, question), picture))
    if save_dir is not None:
        saved.extend(save_pictures(result, save_dir, question))
    return [str(path) for path in saved]


def _require_writable(picture: Path | None, save_dir: Path | None) -> None:
    """Find out before the model runs whether the pictures can be written."""
    if picture is not None:
        if picture.suffix.lower() not in _PICTURE_FORMATS:
            raise SettingsError(
                f"{picture} names no picture format", f"end it in {', '.join(_PICTURE_FORMATS)}"
            )
        _require_folder(picture.parent)
    if save_dir is not None:
        _require_folder(save_dir)


def _require_folder(folder: Path) -> None:
    """Raise :class:`SettingsError` unless the folder is there or can be created."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise SettingsError(
            f"{folder} cannot be written: {nearest} is no folder of yours", "choose another folder"
        )


def _folder(bundle: str) -> Path | None:
    return None if bundle == _DEFAULT else Path(bundle)


def _plain_fields(result: PlainResult) -> dict[str, Any]:
    return {
        "plain_answer": result.answer,
        "timings": result.timings,
        "counts": vars(result.counts),
        "saved": [],
    }


def _carve_fields(result: CarveResult) -> dict[str, Any]:
    return {
        "answer": result.answer,
        "plain_answer": result.plain_answer,
        "plain_probability": result.plain_probability,
        "skipped": result.skipped,
        "bbox": result.bbox,
        "image_size": result.image.shape[1::-1],
        "refined_size": result.refined_image.shape[1::-1],
        "refined_limited": result.refined_limited,
        "mask_share": float(result.mask.mean()),
        "entropy": result.entropy,
        "timings": result.timings,
        "counts": vars(result.counts),
        "settings": vars(result.settings),
    }


def _report(fields: dict[str, Any]) -> None:
    """Print what follows the answers."""
    if fields.get("skipped"):
        click.echo(f"CARVE  skipped: {fields['skipped']}")
    elif "bbox" in fields:
        limits = ", limited by --max-refined-pixels or --final-pixels"
        limited = limits if fields["refined_limited"] else ""
        width, height = fields["refined_size"]
        click.echo(f"box    {fields['bbox']} scaled to {width} x {height}{limited}")
    click.echo(f"time   {fields['timings']['total']:.2f} s")
    for path in fields["saved"]:
        click.echo(f"saved  {path}")
