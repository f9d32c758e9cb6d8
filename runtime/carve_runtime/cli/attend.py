"""``carve-run attend``: where a model looks, as a picture, a page or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from carve_models.cli import HELP, ErrorCommand
from carve_models.replacing import replacing
from carve_runtime.attention.attention import Attention
from carve_runtime.attention.page import attention_page
from carve_runtime.attention.pictures import draw_attention
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.cli.options.given import IMAGE_ARGUMENT, given_picture, require_questions
from carve_runtime.cli.options.saving import PICTURE_FORMATS, require_folder
from carve_runtime.images.load import load_image
from carve_runtime.method.geometry import RGB
from carve_runtime.pictures import save_picture

_PAGE, _FILE = ".html", ".npz"
_WORDS = 8  # most words, unless --generate says so


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="""\b
Examples:
  carve-run attend default photo.jpg "What letter is on the red square?" --every-layer -o map.png
  carve-run attend my-bundle photo.jpg "What is this?" --generate 16 -o page.html
  carve-run attend my-bundle photo.jpg "What is this?" --every-head -o heads.png
""",
)
@BUNDLE_ARGUMENT
@IMAGE_ARGUMENT
@click.argument("text")
@click.option("--every-layer", is_flag=True, help="Draw each layer, not their mean.")
@click.option("--every-word", is_flag=True, help="Draw each word of the answer, not the first.")
@click.option(
    "--every-head",
    is_flag=True,
    help="Draw each head of each layer, of a bundle made with carve-export --attention heads.",
)
@click.option(
    "--generate",
    type=int,
    default=_WORDS,
    show_default=True,
    help="Most words of the answer: several, to point at. The libraries compute one by default.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help=f"A picture ({', '.join(PICTURE_FORMATS)}), a page to point at words ({_PAGE}, all "
    f"layers and words), or all numbers ({_FILE}).",
)
@backend_options
@REVISION_OPTION
@VERIFY_OPTION
def attend(
    bundle: str,
    image: str,
    text: str,
    every_layer: bool,
    every_word: bool,
    every_head: bool,
    generate: int,
    output: Path,
    backend: BackendSettings,
    verify: bool | None,
    revision: str | None,
) -> None:
    """Show where BUNDLE looks in IMAGE while it reads TEXT and answers it.

    IMAGE is a file, or "-" for standard input. TEXT stands where a question stands.
    """
    write = _writer(output, layers=every_layer, words=every_word, heads=every_head)
    require_questions((text,))
    require_folder(output.parent)
    pixels = load_image(given_picture(image))
    folder = bundle_folder(bundle, revision)
    vlm = load_bundle(folder, lambda opened: Carve(opened, backend), verify=verify)
    attention = vlm.attend(pixels, text, generate=generate)
    write(attention, pixels)
    click.echo(f"answer  {attention.answer}")
    for layer, share in zip(attention.layers, attention.mass()[0], strict=True):
        click.echo(f"layer   {layer}: {share:.1%} on the image")
    click.echo(f"saved   {output}")


def _writer(
    output: Path, *, layers: bool, words: bool, heads: bool
) -> Callable[[Attention, RGB], object]:
    """Return what writes the kind of file that the name ends in."""
    suffix = output.suffix.lower()
    if heads and suffix in (_PAGE, _FILE):
        raise click.UsageError(
            f"--every-head is for pictures: a page shows their mean, {_FILE} holds what there is. "
            f"End {output} in {', '.join(PICTURE_FORMATS)}, or leave --every-head out."
        )
    if suffix == _PAGE:

        def write_page(attention: Attention, image: RGB) -> None:
            with replacing(output) as aside:
                aside.write_text(attention_page(attention, image), encoding="utf-8")

        return write_page
    if suffix == _FILE:
        return lambda attention, _: attention.save(output)
    if suffix in PICTURE_FORMATS:
        return lambda attention, image: save_picture(
            draw_attention(attention, image, layers=layers, words=words, heads=heads), output
        )
    known = ", ".join((*PICTURE_FORMATS, _PAGE, _FILE))
    raise click.UsageError(f"{output} names no kind of file. End it in {known}.")
