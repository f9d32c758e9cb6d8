"""What lower precision costs pocket, in one table: ``python -m tools.precision_table``.

Questions are those about the scenes that pocket never saw (``tests/scenes``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from rich.console import Console

from carve_export.console import quality_table
from carve_export.quality import lower_bundle
from carve_models.cli import ErrorCommand
from carve_runtime.bundle import default_bundle

_SCENES = Path(__file__).parents[1] / "tests" / "scenes" / "questions.json"

#: From the mildest on.
CHOICES = (
    ("fp16",),
    ("int8",),
    ("int8", "embed_tokens=int8", "lm_head=int8"),
    ("decoder=int4",),
    ("vision_encoder=int4",),
    ("int4",),
    ("int4", "lm_head=int4"),
)


@click.command(cls=ErrorCommand)
@click.option("--bundle", type=click.Path(path_type=Path), help="The default one if left out.")
@click.option(
    "--calibration",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_SCENES,
    help='JSON list of {"image": "photo.jpg", "question": "..."}.',
)
def main(bundle: Path | None, calibration: Path) -> None:
    """Lower BUNDLE in every way, ask each result the calibration questions, print a table."""
    with tempfile.TemporaryDirectory() as work:
        made = []
        for choice in CHOICES:
            out = Path(work) / "-".join(choice)
            made.append(lower_bundle(bundle or default_bundle(), out, choice, calibration))
    Console(width=170).print(quality_table(made))


if __name__ == "__main__":
    main()
