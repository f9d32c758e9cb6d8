"""Build the checkpoint: load both models, fit the projector, join, write; and its bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from transformers import LlavaForConditionalGeneration

from carve_export import ExportOptions, export_bundle
from carve_models.errors import CheckpointError
from carve_models.replacing import write_json
from carve_runtime.bundle import Bundle, open_bundle, sha256
from tools.research.pocket.world.vocabulary import GENERAL
from tools.research.pocket_l.checkpoint import PROMPT, join, save
from tools.research.pocket_l.fit.projector import FitSpec, fit_projector
from tools.research.pocket_l.fit.words import PatchWords
from tools.shared.files import write_once
from tools.shared.models.language_model import load_language_model

_WEIGHTS = "model.safetensors"
#: Beside a checkpoint: what it was made from.
RECORD = "build.json"
#: Where pocket-L points, and how (README.md); the mask is as large as pocket's.
_POINTING = {
    "steps": "first",
    "regularizer": 1e-5,
    "mask_top_p": 0.08,
    "max_regions": 1,
    "rule": "paper",
    "final_prompt": "refined",
}
_LAYER = 24
_PROMPTS = {"suffix": "", "general": GENERAL}


@dataclass(frozen=True)
class Recipe:
    """What pocket-L is made from.

    Attributes:
        pocket: checkpoint folder whose vision tower is taken.
        language_model: GGUF file or checkpoint folder of a Llama.
        fit: the data of the fit.
    """

    pocket: Path
    language_model: Path
    fit: FitSpec

    def identity(self) -> str:
        """Return a name that changes whenever the result would."""
        weights = self.language_model
        weights = weights if weights.is_file() else weights / _WEIGHTS
        parts = [sha256(self.pocket / _WEIGHTS), sha256(weights), PROMPT, asdict(self.fit)]
        text = json.dumps(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(out: Path, recipe: Recipe) -> Path:
    """Write ``out/checkpoint``, unless it is there already; return the folder."""
    folder, identity = out / "checkpoint", recipe.identity()
    if (folder / RECORD).exists() and built_identity(out) == identity:
        click.echo(f"{folder}: up to date")
        return folder
    pocket = LlavaForConditionalGeneration.from_pretrained(recipe.pocket, dtype=torch.float32)
    tower = pocket.eval().model.vision_tower
    layers = range(1, tower.config.num_hidden_layers + 1)
    language = load_language_model(recipe.language_model)
    fit = fit_projector(tower, layers, PatchWords(language), recipe.fit)
    click.echo(f"ridge strength {fit.strength:g}, explains {fit.explained[fit.strength]:.1%}")
    record = {
        "identity": identity,
        "pocket": sha256(recipe.pocket / _WEIGHTS),
        "language_model": recipe.language_model.name,
        "fit": asdict(recipe.fit),
        "strength": fit.strength,
        "explained": fit.explained,
    }

    def write(aside: Path) -> None:
        save(join(tower, layers, fit.affine, language), language.tokenizer, aside)
        write_json(aside / RECORD, record)

    shutil.rmtree(folder, ignore_errors=True)
    write_once(folder, write)
    return folder


def export(out: Path, max_new_tokens: int = 1) -> Bundle:
    """Return the bundle of the checkpoint in ``out``, with every layer exposed and no suffix.

    It is exported once.

    Args:
        out: the folder with the checkpoint.
        max_new_tokens: of an answer.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    checkpoint, folder = out / "checkpoint", out / f"bundle-{built_identity(out)}"
    if not folder.exists():
        layouts = json.loads((checkpoint / "settings.json").read_text())["prompts"]
        config = json.loads((checkpoint / "config.json").read_text())
        depth = config["text_config"]["num_hidden_layers"]
        options = ExportOptions(
            layers=tuple(range(depth)),
            prompts={**layouts, **_PROMPTS},
            defaults=_POINTING
            | {"layers": (min(_LAYER, depth - 1),), "max_new_tokens": max_new_tokens},
        )
        export_bundle(str(checkpoint), folder, options)
    return open_bundle(folder)


def built_identity(out: Path) -> str:
    """Return the identity of the checkpoint in ``out``.

    Raises:
        CheckpointError: there is none.
    """
    path = out / "checkpoint" / RECORD
    if not path.exists():
        raise CheckpointError(f"there is no {path}", "run python -m tools.research.pocket_l build")
    return str(json.loads(path.read_text())["identity"])
