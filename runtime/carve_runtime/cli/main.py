"""``carve-run``: ask, by the thousand or about a stream, serve, describe a bundle, check all."""

from __future__ import annotations

import click

from carve_models.cli import HELP, ErrorGroup
from carve_runtime.cli.ask import ask
from carve_runtime.cli.attend import attend
from carve_runtime.cli.batch import batch
from carve_runtime.cli.doctor import doctor
from carve_runtime.cli.info import info
from carve_runtime.cli.ray import ray
from carve_runtime.cli.serve import serve
from carve_runtime.cli.triton import triton
from carve_runtime.cli.watch import watch


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


main.add_command(ask)
main.add_command(attend)
main.add_command(batch)
main.add_command(info)
main.add_command(serve)
main.add_command(doctor)
main.add_command(ray)
main.add_command(triton)
main.add_command(watch)
