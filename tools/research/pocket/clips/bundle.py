"""Write the checkpoint that takes clips, and its bundle.

python -m tools.research.pocket.clips.bundle              # of the trained stage
python -m tools.research.pocket.clips.bundle --untrained  # of pocket as it is, told as frames
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import torch

from carve_export import ExportOptions, export_bundle
from carve_export.cli.settings_file import read_settings
from carve_models.replacing import write_json
from tools.research.pocket.checkpoint import save_checkpoint
from tools.research.pocket.clips.train import CONTEXT, POCKET, STAGE, start_from
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.training.tokenizer import build_tokenizer

#: What the model sees of a clip.
SEEN = 6
_IMAGES, _CLIPS = "preprocessor_config.json", "video_preprocessor_config.json"
_SETTINGS = Path("models/pocket/settings.json")
_LAYERS = (0, 1, 2, 3)


def write_bundle(model: Pocket, settings: Path, folder: Path) -> Path:
    """Write FOLDER/checkpoint and FOLDER/bundle, and return the latter.

    Args:
        model: the weights.
        settings: prompts and default settings, as ``carve-export --settings`` takes them.
        folder: where to.
    """
    checkpoint = folder / "checkpoint"
    save_checkpoint(model, build_tokenizer(CONTEXT), checkpoint)
    declare_clips(checkpoint)
    changes = read_settings(settings)
    options = ExportOptions(
        layers=_LAYERS, prompts=changes.prompts, defaults=changes.defaults, overwrite=True
    )
    return export_bundle(str(checkpoint), folder / "bundle", options).folder


def declare_clips(checkpoint: Path) -> None:
    """Say in a checkpoint that its model takes clips: frames are images, so many of them."""
    images = json.loads((checkpoint / _IMAGES).read_text())
    write_json(checkpoint / _CLIPS, images | {"num_frames": SEEN})


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/clips"))
@click.option("--untrained", is_flag=True, help="Pocket's own weights, as they are.")
@click.option("--settings", type=click.Path(path_type=Path), default=_SETTINGS)
def main(out: Path, untrained: bool, settings: Path) -> None:
    """Write OUT/trained, or OUT/untrained, from the weights in OUT/clips.pt or pocket's."""
    model = start_from(POCKET)
    if not untrained:
        model.load_state_dict(torch.load(out / f"{STAGE}.pt", weights_only=True)["model"])
    click.echo(write_bundle(model, settings, out / ("untrained" if untrained else "trained")))


if __name__ == "__main__":
    main()
